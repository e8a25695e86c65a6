//! What the documents say of types and fields.

use std::collections::BTreeSet;

use ::descriptions::Descriptions;
use schema::openapi;
use serde_json::Value;

use crate::openapi::routes;

/// Lists apart, types and fields that upstream's own documentation says nothing about, or that k8s-openapi leaves out.
const WITHOUT: &[&str] = &[
    "io.k8s.api.certificates.v1.CertificateSigningRequest.metadata",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ExternalDocumentation.description",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ExternalDocumentation.url",
    "io.k8s.apimachinery.pkg.apis.meta.v1.GroupResource.group",
    "io.k8s.apimachinery.pkg.apis.meta.v1.GroupResource.resource",
    "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent.object",
    "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent.type",
];
/// The fields of a JSON schema are described nowhere, but for a few.
const OF_A_SCHEMA: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps.";

/// Types (`Pod`) and fields (`Pod.spec`) of the definitions without a description.
fn without(definitions: &serde_json::Map<String, Value>) -> (BTreeSet<String>, usize) {
    let (mut out, mut with) = (BTreeSet::new(), 0);
    let mut look = |name: String, schema: &Value| match schema["description"].as_str() {
        Some(text) if !text.is_empty() => with += 1,
        _ => {
            out.insert(name);
        }
    };
    for (name, schema) in definitions {
        look(name.clone(), schema);
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            look(format!("{name}.{field}"), schema);
        }
    }
    (out, with)
}

#[test]
fn types_and_fields_are_described() {
    let Some(mut routes) = routes() else { return };
    routes.retain(|r| !r.version.contains("alpha") && !r.version.contains("beta"));
    let document = openapi::v2(&routes, &Descriptions::unpack());
    let document: Value = serde_json::from_slice(&document).expect("own JSON is JSON");
    let (without, with) = without(document["definitions"].as_object().expect("definitions"));
    // Lists are one generic type in k8s-openapi.
    let of_list = |name: &str| {
        let ty = name.strip_suffix(".items").or(name.strip_suffix(".metadata")).unwrap_or(name);
        ty.ends_with("List")
    };
    let (lists, others): (Vec<&String>, Vec<&String>) = without.iter().partition(|n| of_list(n));
    let (schema, others): (Vec<&String>, Vec<&String>) =
        others.into_iter().partition(|n| n.starts_with(OF_A_SCHEMA));
    assert_eq!(others, WITHOUT);
    assert_eq!(lists.len(), 3 * lists.iter().filter(|n| n.ends_with("List")).count(), "{lists:?}");
    assert_eq!((with, lists.len(), schema.len()), (2947, 195, 35));
}

#[test]
fn both_versions_say_what_upstream_says() {
    let Some(routes) = routes() else { return };
    let texts = Descriptions::unpack();
    let v2: Value = serde_json::from_slice(&openapi::v2(&routes, &texts)).expect("own JSON is JSON");
    let v3 = openapi::v3("", "v1", &routes, &texts);
    let v3: Value = serde_json::from_slice(&v3).expect("own JSON is JSON");
    for all in [&v2["definitions"], &v3["components"]["schemas"]] {
        let of = |ty: &str, field: &str| {
            let text = &all[ty]["properties"][field]["description"];
            text.as_str().unwrap_or_else(|| panic!("{ty}.{field}: {}", all[ty])).to_owned()
        };
        assert_eq!(all["io.k8s.api.core.v1.PodSpec"]["description"], "PodSpec is a description of a pod.");
        let pod = "io.k8s.api.core.v1.Pod";
        assert!(of(pod, "spec").starts_with("Specification of the desired behavior of the pod."));
        // Beside a list, its kind and version are described as any other's.
        let kind = of(pod, "kind");
        assert!(kind.starts_with("Kind is a string value representing the REST resource"), "{kind}");
        assert_eq!(of("io.k8s.api.core.v1.PodList", "kind"), kind);
        let policy = of("io.k8s.api.core.v1.Container", "imagePullPolicy");
        assert!(policy.starts_with("Image pull policy."), "{policy}");
        let values = "\n\nPossible enum values:\n - `\"Always\"`\n - `\"IfNotPresent\"`\n - `\"Never\"`";
        assert!(policy.ends_with(values), "{policy}");
        let policy = &all["io.k8s.api.core.v1.Container"]["properties"]["imagePullPolicy"]["enum"];
        assert_eq!(policy, &serde_json::json!(["Always", "IfNotPresent", "Never"]));
        let quantity = &all["io.k8s.apimachinery.pkg.api.resource.Quantity"]["description"];
        assert!(quantity.as_str().is_some_and(|t| t.starts_with("Quantity is a fixed-point")), "{quantity}");
        let patch = &all["io.k8s.apimachinery.pkg.apis.meta.v1.Patch"]["description"];
        assert!(patch.is_string(), "{patch}");
    }
}
