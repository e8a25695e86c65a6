//! OpenAPI of defined kinds.
// k8s: apiextensions-apiserver pkg/controller/openapi/builder/builder_test.go, v2/conversion_test.go

use descriptions::Descriptions;
use schema::openapi::Dialect;
use schema::structural::openapi::{Names, kind_schema, list_schema, model_name};
use serde_json::{Value as Json, json};

use super::compiled;

const NAMES: Names<'static> =
    Names { group: "example.com", version: "v1", kind: "Widget", list_kind: "WidgetList", plural: "widgets" };

fn kind(schema: &str, dialect: Dialect) -> Json {
    let s = compiled(schema);
    let out = kind_schema(Some(&s), dialect, &NAMES, &[], &Descriptions::none());
    serde_json::from_slice(&schema::encode_plain(&out)).expect("own JSON")
}

const SCHEMA: &str = "{type: object, properties: {spec: {type: object, required: [nn, s], properties: {nn: {type: string, nullable: true}, s: {x-kubernetes-int-or-string: true}, l: {type: array, x-kubernetes-list-type: set, items: {type: string, maxLength: 3}}, o: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {a: {type: string}}}, e: {type: object, x-kubernetes-embedded-resource: true, properties: {x: {type: string}}}}, oneOf: [{required: [nn]}]}}}";

#[test]
fn version_3_says_all() {
    let doc = kind(SCHEMA, Dialect::V3);
    assert_eq!(
        doc["x-kubernetes-group-version-kind"],
        json!([{"group": "example.com", "kind": "Widget", "version": "v1"}])
    );
    let metadata = &doc["properties"]["metadata"];
    assert_eq!(
        metadata["allOf"],
        json!([{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}])
    );
    assert!(metadata["description"].as_str().unwrap().starts_with("Standard object's metadata."));
    assert_eq!(doc["properties"]["kind"], json!({"type": "string"}));
    let spec = &doc["properties"]["spec"];
    assert_eq!(spec["required"], json!(["nn", "s"]));
    assert_eq!(spec["oneOf"], json!([{"required": ["nn"]}]));
    let p = &spec["properties"];
    assert_eq!(p["nn"], json!({"type": "string", "nullable": true}));
    assert_eq!(
        p["s"],
        json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]})
    );
    assert_eq!(
        p["l"],
        json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string", "maxLength": 3}})
    );
    assert_eq!(p["o"]["properties"], json!({"a": {"type": "string"}}));
    assert_eq!(p["e"]["required"], json!(["kind", "apiVersion"]));
    assert!(p["e"]["properties"]["metadata"]["allOf"].is_array());
}

#[test]
fn version_2_says_what_it_can() {
    let doc = kind(SCHEMA, Dialect::V2);
    let metadata = &doc["properties"]["metadata"];
    assert_eq!(metadata["$ref"], "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    let spec = &doc["properties"]["spec"];
    assert_eq!((&spec["required"], &spec["oneOf"]), (&json!(["s"]), &Json::Null));
    let p = &spec["properties"];
    assert_eq!(p["nn"], json!({}));
    assert_eq!(p["s"], json!({"x-kubernetes-int-or-string": true}));
    assert_eq!(p["o"], json!({"x-kubernetes-preserve-unknown-fields": true}));
    let open = kind(
        "{type: object, x-kubernetes-preserve-unknown-fields: true, properties: {a: {type: string}}}",
        Dialect::V2,
    );
    assert_eq!(
        open.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["type", "x-kubernetes-group-version-kind"]
    );
}

#[test]
fn lists_and_names() {
    assert_eq!(model_name("example.com", "v1", "Widget"), "com.example.v1.Widget");
    let fields = super::value("[{jsonPath: .spec.color}]");
    let doc = list_schema(Dialect::V3, &NAMES, fields.as_list().unwrap(), &Descriptions::none());
    let doc: Json = serde_json::from_slice(&schema::encode_plain(&doc)).unwrap();
    assert_eq!(doc["description"], "WidgetList is a list of Widget");
    assert_eq!(doc["required"], json!(["items"]));
    assert_eq!(doc["properties"]["items"]["items"]["$ref"], "#/components/schemas/com.example.v1.Widget");
    assert_eq!(doc["x-kubernetes-selectable-fields"], json!([{"fieldPath": "spec.color"}]));
    assert_eq!(doc["x-kubernetes-group-version-kind"][0]["kind"], "WidgetList");
}
