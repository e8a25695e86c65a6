//! What is said of objects, text by text.
// k8s: apiextensions-apiserver pkg/apiserver/validation/validation_test.go, ratcheting_test.go, listtype/validation_test.go

use super::{compiled, value};

/// Complaints of `{field: <value>}` under a schema of the field.
fn field(schema: &str, object: &str) -> Vec<String> {
    let s = compiled(&format!("{{type: object, properties: {{field: {schema}}}}}"));
    s.validate(&value(&format!("{{field: {object}}}")), None).iter().map(ToString::to_string).collect()
}

const TYPES: [(&str, &str); 6] = [
    ("string", "foo"),
    ("integer", "42"),
    ("boolean", "true"),
    ("number", "1.2"),
    ("array", "[]"),
    ("object", "{}"),
];

#[test]
fn types() {
    for schema in ["{type: object}", "{type: object, nullable: true}"] {
        for (ty, text) in TYPES {
            let found = field(schema, text);
            if ty == "object" {
                assert_eq!(found, Vec::<String>::new());
            } else {
                let wanted =
                    format!("field: Invalid value: \"{ty}\": field in body must be of type object: \"{ty}\"");
                assert_eq!(found, [wanted], "{schema} {text}");
            }
        }
    }
    let null = "field: Invalid value: \"null\": field in body must be of type object: \"null\"";
    assert_eq!(field("{type: object}", "null"), [null]);
    assert_eq!(field("{type: object, nullable: true}", "null"), Vec::<String>::new());
    for (ty, text) in TYPES {
        assert_eq!(
            field("{nullable: true, x-kubernetes-preserve-unknown-fields: true}", text),
            Vec::<String>::new(),
            "{ty}"
        );
    }
    assert_eq!(field("{type: integer}", "1.0"), Vec::<String>::new(), "one with a point is an integer");
    assert_eq!(field("{type: number}", "1"), Vec::<String>::new());
}

#[test]
fn integers_or_strings() {
    let plain = "{x-kubernetes-int-or-string: true}";
    let any_of = "{x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}";
    let of_type = |ty: &str, wanted: &str| {
        format!("field: Invalid value: \"{ty}\": field in body must be of type {wanted}: \"{ty}\"")
    };
    for (ty, text) in TYPES {
        if matches!(ty, "string" | "integer") {
            assert_eq!(field(plain, text), Vec::<String>::new());
            assert_eq!(field(any_of, text), Vec::<String>::new());
            continue;
        }
        assert_eq!(field(plain, text), [of_type(ty, "integer,string")]);
        let mut wanted = vec![
            of_type(ty, "integer,string"),
            "<nil>: Invalid value: \"\": \"field\" must validate at least one schema (anyOf)".to_owned(),
            of_type(ty, "integer"),
        ];
        if ty == "number" {
            wanted.push(
                "<nil>: Invalid value: \"\": Checked value must be of type integer (default format) in field"
                    .to_owned(),
            );
        }
        assert_eq!(field(any_of, text), wanted);
    }
}

/// The schema of a field, a value, and what is said of it.
const CHECKS: &[(&str, &str, &[&str])] = &[
    ("{type: string, maxLength: 2}", "äö", &[]),
    ("{type: string, maxLength: 2}", "abc", &["field: Too long: may not be more than 2 bytes"]),
    (
        "{type: string, minLength: 2, pattern: x}",
        "a",
        &["field: Invalid value: \"a\": field in body should be at least 2 chars long"],
    ),
    (
        "{type: string, pattern: '^x+$'}",
        "a",
        &["field: Invalid value: \"a\": field in body should match '^x+$'"],
    ),
    (
        "{type: string, enum: [a, b]}",
        "c",
        &["field: Unsupported value: \"c\": supported values: \"a\", \"b\""],
    ),
    ("{type: integer, enum: [1, 2]}", "3", &["field: Unsupported value: 3: supported values: \"1\", \"2\""]),
    (
        "{type: string, nullable: true, enum: [a]}",
        "null",
        &["field: Unsupported value: \"null\": supported values: \"a\""],
    ),
    (
        "{type: integer, minimum: 2}",
        "1",
        &["field: Invalid value: 1: field in body should be greater than or equal to 2"],
    ),
    (
        "{type: integer, maximum: 2, exclusiveMaximum: true}",
        "2",
        &["field: Invalid value: 2: field in body should be less than 2"],
    ),
    (
        "{type: number, minimum: 0.5, exclusiveMinimum: true}",
        "0.5",
        &["field: Invalid value: 0.5: field in body should be greater than 0.5"],
    ),
    ("{type: integer, multipleOf: 3}", "9", &[]),
    (
        "{type: integer, multipleOf: 3}",
        "10",
        &["field: Invalid value: 10: field in body should be a multiple of 3"],
    ),
    ("{type: number, multipleOf: 0.1}", "0.3", &[]),
    (
        "{type: number, multipleOf: 0.1}",
        "0.35",
        &["field: Invalid value: 0.35: field in body should be a multiple of 0.1"],
    ),
    (
        "{type: integer, format: int32}",
        "2147483648",
        &["<nil>: Invalid value: \"\": Checked value must be of type integer with format int32 in field"],
    ),
    ("{type: integer, format: int64}", "9223372036854775807", &[]),
    (
        "{type: string, format: uuid}",
        "x",
        &["field: Invalid value: \"x\": field in body must be of type uuid: \"x\""],
    ),
    ("{type: string, format: date-time}", "'2026-12-01T00:00:00Z'", &[]),
    ("{type: string, format: unheard-of}", "x", &[]),
    (
        "{type: array, items: {type: string}, minItems: 1}",
        "[]",
        &["field: Invalid value: 0: field in body should have at least 1 items"],
    ),
    (
        "{type: array, items: {type: string}, maxItems: 1}",
        "[a, b]",
        &["field: Too many: 2: must have at most 1 item"],
    ),
    (
        "{type: array, items: {type: string}}",
        "[a, 1]",
        &["field[1]: Invalid value: \"integer\": field[1] in body must be of type string: \"integer\""],
    ),
    ("{type: object, properties: {a: {type: string}}, required: [a]}", "{}", &["field.a: Required value"]),
    (
        "{type: object, additionalProperties: {type: string}, maxProperties: 1}",
        "{a: x, b: z}",
        &["field: Too many: 2: must have at most 1 item"],
    ),
    (
        "{type: object, additionalProperties: {type: string}}",
        "{a: 1}",
        &["field.a: Invalid value: \"integer\": field.a in body must be of type string: \"integer\""],
    ),
    (
        "{type: object, additionalProperties: false}",
        "{a: 1}",
        &["field: Invalid value: \"a\": field.a in body is a forbidden property"],
    ),
    (
        "{type: string, not: {enum: [a]}}",
        "a",
        &["<nil>: Invalid value: \"\": \"field\" must not validate the schema (not)"],
    ),
    (
        "{type: string, oneOf: [{minLength: 1}, {maxLength: 3}]}",
        "ab",
        &[
            "<nil>: Invalid value: \"\": \"field\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ],
    ),
    (
        "{type: string, allOf: [{minLength: 3}, {maxLength: 3}]}",
        "ab",
        &[
            "field: Invalid value: \"ab\": field in body should be at least 3 chars long",
            "<nil>: Invalid value: \"\": \"field\" must validate all the schemas (allOf)",
        ],
    ),
];

#[test]
fn checks() {
    for (schema, object, wanted) in CHECKS {
        assert_eq!(field(schema, object), *wanted, "{schema} {object}");
    }
}

#[test]
fn sets_and_maps() {
    let set = "{type: array, x-kubernetes-list-type: set, items: {type: string}}";
    assert_eq!(field(set, "[a, b]"), Vec::<String>::new());
    assert_eq!(field(set, "[a, b, a, a]"), ["field[2]: Duplicate value: \"a\""]);
    let map = "{type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [k, p], items: {type: object, properties: {k: {type: string, default: x}, p: {type: integer, default: 1}, v: {type: string}}}}";
    assert_eq!(field(map, "[{k: a, p: 1}, {k: a, p: 2}, {k: b, p: 1}]"), Vec::<String>::new());
    assert_eq!(
        field(map, "[{k: a, p: 1, v: x}, {k: a, p: 1}]"),
        ["field[1]: Duplicate value: {\"k\":\"a\",\"p\":1}"]
    );
    assert_eq!(field(map, "[{k: a}, {k: a}]"), ["field[1]: Duplicate value: {\"k\":\"a\"}"]);
}

#[test]
fn embedded_objects() {
    let schema =
        "{type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}";
    assert_eq!(
        field(schema, "{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {a: b}}, x: 1}"),
        Vec::<String>::new()
    );
    assert_eq!(field(schema, "{}"), ["field.apiVersion: Required value", "field.kind: Required value"]);
    assert_eq!(
        field(schema, "{apiVersion: a/b/c, kind: '', metadata: {name: a/b}}"),
        [
            "field.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            "field.kind: Invalid value: \"\": must not be empty",
            "field.metadata.name: Invalid value: \"a/b\": may not contain '/'",
        ]
    );
    let found = field(schema, "{apiVersion: v1, kind: Pod, metadata: {labels: 5}}");
    assert!(
        found[0].starts_with("field.metadata: Invalid value: {\"labels\":5}: json: cannot unmarshal number"),
        "{found:?}"
    );
}

#[test]
fn what_did_not_change_is_let_be() {
    let s = compiled(
        "{type: object, properties: {spec: {type: object, required: [r], properties: {a: {type: string, maxLength: 1}, b: {type: string}, l: {type: array, items: {type: string, maxLength: 1}}, m: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [k], items: {type: object, required: [k], properties: {k: {type: string}, v: {type: string, maxLength: 1}}}}, t: {type: array, x-kubernetes-list-type: atomic, items: {type: string, maxLength: 1}}, s: {type: array, x-kubernetes-list-type: set, items: {type: string}}}}}}",
    );
    let check = |old: &str, new: &str| -> Vec<String> {
        let (old, new) = (value(&format!("{{spec: {old}}}")), value(&format!("{{spec: {new}}}")));
        s.validate(&new, Some(&old)).iter().map(ToString::to_string).collect()
    };
    let long = |at: &str| format!("spec.{at}: Too long: may not be more than 1 byte");
    let table: &[(&str, &str, &[String])] = &[
        ("{r: 1, a: long}", "{r: 1, a: long, b: x}", &[]),
        ("{r: 1, a: long}", "{r: 1, a: longer}", &[long("a")]),
        ("{a: long}", "{a: long}", &[]),
        ("{a: long}", "{a: long, b: x}", &["spec.r: Required value".to_owned()]),
        ("{r: 1, l: [xx]}", "{r: 1, l: [xx, yy]}", &[long("l[1]")]),
        ("{r: 1, m: [{k: a, v: xx}, {k: b}]}", "{r: 1, m: [{k: c}, {k: a, v: xx}]}", &[]),
        ("{r: 1, t: [xx]}", "{r: 1, t: [xx, z]}", &[long("t[0]")]),
        ("{r: 1, t: [xx]}", "{r: 1, b: z, t: [xx]}", &[]),
        ("{r: 1, s: [a, a]}", "{r: 1, s: [a, a, b, b]}", &[]),
        ("{r: 1, s: [a]}", "{r: 1, s: [a, a]}", &["spec.s[1]: Duplicate value: \"a\"".to_owned()]),
    ];
    for (old, new, wanted) in table {
        // `r` is preserved although no property names it, so the schema is asked with it there.
        assert_eq!(check(old, new), *wanted, "{old} -> {new}");
    }
}

#[test]
fn work_has_a_limit() {
    let enum_values: Vec<String> = (0..3000).map(|i| format!("v{i}")).collect();
    let schema = format!("{{type: array, items: {{type: string, enum: [{}]}}}}", enum_values.join(", "));
    let many: Vec<String> = (0..10_000).map(|_| "v2999".to_owned()).collect();
    let found = field(&schema, &format!("[{}]", many.join(", ")));
    assert_eq!(found, ["<nil>: Forbidden: the object takes more than 20000000 steps to validate"]);
}
