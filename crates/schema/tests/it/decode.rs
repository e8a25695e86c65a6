//! What the decoder says about wrong input, in upstream's words.

use schema::{DecodeError, FieldValidation, apply_defaults, decode_json, decode_yaml, encode_json, type_of};

fn decode(kind: (&str, &str, &str), json: &str, v: FieldValidation) -> Result<(String, Vec<String>), String> {
    let ty = type_of(kind.0, kind.1, kind.2).expect("a built-in kind");
    let decoded = decode_json(json.as_bytes(), ty, v).map_err(|e| e.to_string())?;
    let out = String::from_utf8(encode_json(&decoded.value, ty)).expect("JSON is text");
    Ok((out, decoded.warnings))
}

const DEPLOYMENT: (&str, &str, &str) = ("apps", "v1", "Deployment");
const POD: (&str, &str, &str) = ("", "v1", "Pod");
const SERVICE: (&str, &str, &str) = ("", "v1", "Service");
const CONFIG_MAP: (&str, &str, &str) = ("", "v1", "ConfigMap");

#[test]
fn errors() {
    let cases = [
        (
            DEPLOYMENT,
            r#"{"spec":{"replicas":"x"}}"#,
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            r#"{"spec":{"replicas":1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            r#"{"spec":{"replicas":3000000000}}"#,
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            POD,
            r#"{"spec":{"containers":{}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            POD,
            r#"{"spec":{"containers":[{"env":[{"value":1}]}]}}"#,
            "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
        (
            POD,
            r#"{"metadata":{"labels":{"a":true}}}"#,
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            SERVICE,
            r#"{"spec":{"ports":[{"protocol":1}]}}"#,
            "json: cannot unmarshal number into Go struct field ServicePort.spec.ports.protocol of type v1.Protocol",
        ),
        (POD, "[]", "json: cannot unmarshal array into Go value of type v1.Pod"),
        (
            POD,
            r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"1x"}}}]}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (POD, "", "unexpected end of JSON input"),
        (POD, r#"{"a""#, "unexpected end of JSON input"),
        (POD, r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
        (POD, r#"{"a":tru}"#, "invalid character '}' in literal true (expecting 'e')"),
        (POD, "{} x", "invalid character 'x' after top-level value"),
        (POD, r#"{"spec":{"containers":[1 2]}}"#, "invalid character '2' after array element"),
        (
            DEPLOYMENT,
            r#"{"spec":{"foo":1,"replicas":1,"replicas":2}}"#,
            r#"strict decoding error: unknown field "spec.foo", duplicate field "spec.replicas""#,
        ),
        (
            POD,
            r#"{"spec":{"containers":[{"Name":"x"}]}}"#,
            r#"strict decoding error: unknown field "spec.containers[0].Name""#,
        ),
        (
            POD,
            r#"{"metadata":{"labels":{"a":"1","a":"2"}}}"#,
            r#"strict decoding error: duplicate field "metadata.labels.a""#,
        ),
        (("", "v1", "Secret"), r#"{"data":{"a":"?"}}"#, "illegal base64 data at input byte 0"),
    ];
    for (kind, json, want) in cases {
        assert_eq!(decode(kind, json, FieldValidation::Strict).expect_err(json), want, "{json}");
    }
}

#[test]
fn status_of_an_error() {
    let ty = type_of("apps", "v1", "Deployment").expect("a built-in kind");
    let e = decode_json(br#"{"spec":{"foo":1}}"#, ty, FieldValidation::Strict).expect_err("unknown field");
    let status = e.to_status("Deployment", "v1", "Deployment");
    assert_eq!(status.code, 400);
    let want = "Deployment in version \"v1\" cannot be handled as a Deployment: \
                strict decoding error: unknown field \"spec.foo\"";
    assert_eq!(status.message, want);
}

#[test]
fn warnings_and_ignorance() {
    let json = r#"{"kind":"Deployment","spec":{"foo":{"a":[1]},"replicas":1,"replicas":2}}"#;
    let (out, warnings) = decode(DEPLOYMENT, json, FieldValidation::Warn).expect(json);
    assert_eq!(warnings, [r#"unknown field "spec.foo""#, r#"duplicate field "spec.replicas""#]);
    assert!(out.contains(r#""replicas":2"#), "{out}");
    let (again, warnings) = decode(DEPLOYMENT, json, FieldValidation::Ignore).expect(json);
    assert_eq!((again, warnings), (out, vec![]));
}

#[test]
fn canonical_form() {
    let cases = [
        (
            CONFIG_MAP,
            r#"{"data":{"b":"2","a":null},"metadata":{"name":"x","creationTimestamp":null},"apiVersion":"v1","kind":"ConfigMap"}"#,
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"},"data":{"a":"","b":"2"}}"#,
        ),
        (
            SERVICE,
            r#"{"spec":{"ports":[{"port":80}],"type":"","clusterIP":null}}"#,
            r#"{"metadata":{},"spec":{"ports":[{"port":80,"targetPort":0}]},"status":{"loadBalancer":{}}}"#,
        ),
        (
            DEPLOYMENT,
            r#"{"spec":{"replicas":0,"paused":false,"minReadySeconds":0}}"#,
            r#"{"metadata":{},"spec":{"replicas":0,"selector":null,"template":{"metadata":{},"spec":{"containers":null}},"strategy":{}},"status":{}}"#,
        ),
        (
            POD,
            r#"{"spec":{"containers":[{"name":"a","resources":{"limits":{"memory":"1024Ki","cpu":1.5}}}]}}"#,
            r#"{"metadata":{},"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1500m","memory":"1Mi"}}}]},"status":{}}"#,
        ),
        (
            POD,
            r#"{"metadata":{"name":"\u00e9\ud800\n\"<"}}"#,
            "{\"metadata\":{\"name\":\"é\u{FFFD}\\n\\\"<\"},\"spec\":{\"containers\":null},\"status\":{}}",
        ),
    ];
    for (kind, json, want) in cases {
        let (out, _) = decode(kind, json, FieldValidation::Strict).unwrap_or_else(|e| panic!("{json}: {e}"));
        assert_eq!(out, want, "{json}");
        let (again, _) = decode(kind, &out, FieldValidation::Strict).expect("own JSON");
        assert_eq!(again, out, "encoding is stable");
    }
}

#[test]
fn depth_is_limited() {
    let ty = type_of("", "v1", "Pod").expect("a built-in kind");
    for deep in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
        for validation in [FieldValidation::Strict, FieldValidation::Ignore] {
            let got = decode_json(format!("{{\"x\":{deep}").as_bytes(), ty, validation);
            assert_eq!(got, Err(DecodeError::TooDeep));
        }
        assert!(decode_yaml(deep.as_bytes(), ty, FieldValidation::Strict).is_err());
    }
    let schema = "{\"not\":".repeat(100_000);
    let crd = type_of("apiextensions.k8s.io", "v1", "CustomResourceDefinition").expect("a built-in kind");
    let json = format!("{{\"spec\":{{\"versions\":[{{\"schema\":{{\"openAPIV3Schema\":{schema}");
    assert_eq!(decode_json(json.as_bytes(), crd, FieldValidation::Strict), Err(DecodeError::TooDeep));
}

#[test]
fn defaults() {
    let ty = type_of("", "v1", "Pod").expect("a built-in kind");
    let json = br#"{"spec":{"containers":[{"name":"a","ports":[{"containerPort":80}]}],"volumes":[{"name":"v","azureDisk":{"diskName":"d","diskURI":"u"}}]}}"#;
    let mut value = decode_json(json, ty, FieldValidation::Strict).expect("a pod").value;
    apply_defaults(&mut value, ty);
    let port = value.list_at(&["spec", "containers"])[0].list_at(&["ports"])[0].clone();
    assert_eq!(port.str_at(&["protocol"]), "TCP");
    let disk = value.list_at(&["spec", "volumes"])[0].get("azureDisk").expect("a disk");
    assert_eq!((disk.str_at(&["cachingMode"]), disk.str_at(&["kind"])), ("ReadWrite", "Shared"));
    assert_eq!(disk.bool_at(&["readOnly"]), Some(false));
}
