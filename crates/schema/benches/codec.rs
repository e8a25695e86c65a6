//! Time of decoding and encoding a pod of about 1.2 KB, beside `serde_json` on the same bytes in the same run.

use std::hint::black_box;

use schema::{FieldValidation, decode_json, decode_protobuf, encode_json, encode_protobuf, type_of};
use sys::{Clock, SystemClock};

const POD: &str = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-6d4cf56db6-abcde","generateName":"web-6d4cf56db6-","namespace":"default","uid":"3f0c8a52-5f5e-4f3b-9a39-2b0a5a0d4c11","creationTimestamp":"2026-01-02T03:04:05Z","labels":{"app":"web","pod-template-hash":"6d4cf56db6"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-6d4cf56db6","uid":"0a4d2c11-5f5e-4f3b-9a39-2b0a5a0d4c12","controller":true,"blockOwnerDeletion":true}]},"spec":{"volumes":[{"name":"kube-api-access","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}}],"defaultMode":420}}],"containers":[{"name":"web","image":"nginx:1.27","ports":[{"containerPort":80,"protocol":"TCP"}],"resources":{"limits":{"cpu":"500m","memory":"128Mi"},"requests":{"cpu":"250m","memory":"64Mi"}},"volumeMounts":[{"name":"kube-api-access","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}],"terminationMessagePath":"/dev/termination-log","imagePullPolicy":"IfNotPresent"}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default"},"status":{"phase":"Pending","qosClass":"Burstable"}}"#;

fn time(name: &str, mut run: impl FnMut()) {
    const ROUNDS: u128 = 200_000;
    for _ in 0..ROUNDS / 10 {
        run();
    }
    let start = SystemClock.monotonic();
    for _ in 0..ROUNDS {
        run();
    }
    let nanos = (SystemClock.monotonic() - start).as_nanos();
    println!("{name}: {} ns", nanos / ROUNDS);
}

fn main() {
    let ty = type_of("", "v1", "Pod").expect("a built-in kind");
    let pod = decode_json(POD.as_bytes(), ty, FieldValidation::Strict).expect("a pod").value;
    let message = encode_protobuf(&pod, ty);
    println!("{} bytes of JSON, {} of protobuf", POD.len(), message.len());
    time("decode JSON", || {
        black_box(decode_json(black_box(POD.as_bytes()), ty, FieldValidation::Strict).is_ok());
    });
    time("encode JSON", || {
        black_box(encode_json(black_box(&pod), ty));
    });
    time("decode protobuf", || {
        black_box(decode_protobuf(black_box(&message), ty).is_ok());
    });
    time("encode protobuf", || {
        black_box(encode_protobuf(black_box(&pod), ty));
    });
    time("serde_json decode", || {
        black_box(serde_json::from_str::<serde_json::Value>(black_box(POD)).is_ok());
    });
}
