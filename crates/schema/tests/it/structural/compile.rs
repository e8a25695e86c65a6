//! Schemas that are refused, and how.
// k8s: apiextensions-apiserver pkg/apis/apiextensions/validation/validation_test.go, pkg/apiserver/schema/validation_test.go

use meta::Path;
use schema::Value;
use schema::structural::{MAX_DEPTH, Structural};

use super::{compiled, schema, value};

fn complaints(text: &str) -> Vec<String> {
    let (_, errors) = Structural::compile(&schema(text), false, &Path::new("s"));
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn right_ones() {
    for text in [
        "{type: object}",
        "{type: object, x-kubernetes-preserve-unknown-fields: true}",
        "{type: object, properties: {metadata: {type: object}, kind: {type: string}, apiVersion: {type: string}}}",
        "{type: object, properties: {metadata: {type: object, properties: {name: {type: string, maxLength: 5}}}}}",
        "{type: object, properties: {a: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}], default: 1}}}",
        "{type: object, properties: {a: {x-kubernetes-int-or-string: true, allOf: [{anyOf: [{type: integer}, {type: string}]}, {pattern: a}]}}}",
        "{type: object, properties: {a: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}}}",
        "{type: object, properties: {a: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [k], items: {type: object, required: [k], properties: {k: {type: string}}}}}}",
        "{type: object, properties: {a: {type: array, x-kubernetes-list-type: set, items: {type: string}}}}",
        "{type: object, properties: {a: {type: object, additionalProperties: true}, b: {type: object, additionalProperties: {type: string, default: x}}}}",
        "{type: object, properties: {a: {type: string}}, anyOf: [{required: [a]}, {properties: {a: {pattern: '^x$'}}}]}",
        "{type: object, properties: {a: {type: string, x-kubernetes-validations: [{rule: 'self != \"\"', message: m, reason: FieldValueInvalid}]}}}",
        "{type: object, properties: {a: {type: object, default: {}, properties: {b: {type: string, default: x}}}}}",
        "{type: object, properties: {a: {type: string, nullable: true, enum: [x, null]}}}",
    ] {
        assert_eq!(complaints(text), Vec::<String>::new(), "{text}");
    }
}

/// A schema, and what is said of it.
const STRUCTURE: &[(&str, &[&str])] = &[
    ("{}", &["s.type: Required value: must not be empty at the root"]),
    ("{type: string}", &["s.type: Invalid value: \"string\": must be object at the root"]),
    ("{type: object, nullable: true}", &["s.nullable: Forbidden: nullable cannot be true at the root"]),
    (
        "{type: object, properties: {a: {}}}",
        &["s.properties[a].type: Required value: must not be empty for specified object fields"],
    ),
    (
        "{type: object, properties: {a: {type: array, items: {}}}}",
        &["s.properties[a].items.type: Required value: must not be empty for specified array items"],
    ),
    (
        "{type: object, properties: {a: {type: array}}}",
        &["s.properties[a].items: Required value: must be specified"],
    ),
    (
        "{type: object, additionalProperties: {type: string}}",
        &["s.additionalProperties: Forbidden: must not be used at the root"],
    ),
    (
        "{type: object, properties: {metadata: {type: object, properties: {labels: {type: object}}}}}",
        &[
            "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
        ],
    ),
    (
        "{type: object, properties: {kind: {type: integer}, metadata: {type: string}}}",
        &[
            "s.properties[kind].type: Invalid value: \"integer\": must be string",
            "s.properties[metadata].type: Invalid value: \"string\": must be object",
        ],
    ),
    (
        "{type: object, properties: {a: {type: object, x-kubernetes-embedded-resource: true}}}",
        &[
            "s.properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ],
    ),
    (
        "{type: object, properties: {a: {x-kubernetes-int-or-string: true, x-kubernetes-preserve-unknown-fields: true}}}",
        &[
            "s.properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true",
        ],
    ),
    (
        "{type: object, anyOf: [{type: object, description: d, default: {}, nullable: true, title: t}]}",
        &[
            "s.anyOf[0].default: Forbidden: must be undefined to be structural",
            "s.anyOf[0].description: Forbidden: must be empty to be structural",
            "s.anyOf[0].nullable: Forbidden: must be false to be structural",
            "s.anyOf[0].title: Forbidden: must be empty to be structural",
            "s.anyOf[0].type: Forbidden: must be empty to be structural",
        ],
    ),
    (
        "{type: object, not: {properties: {a: {x-kubernetes-list-type: set}}}}",
        &[
            "s.not.properties[a].x-kubernetes-list-type: Forbidden: must be undefined to be structural",
            "s.properties[a]: Required value: because it is defined in s.not.properties[a]",
            "s.not.properties[a].type: Required value: must be array if x-kubernetes-list-type is specified",
        ],
    ),
    (
        "{type: object, allOf: [{properties: {metadata: {}}}], properties: {metadata: {type: object}}}",
        &["s.allOf[0].properties[metadata]: Forbidden: must not be specified in a nested context"],
    ),
    (
        "{type: object, oneOf: [{additionalProperties: {}}]}",
        &["s.oneOf[0].additionalProperties: Forbidden: must be undefined to be structural"],
    ),
    (
        "{type: object, properties: {a: {type: string, pattern: '('}}}",
        &[
            "s.properties[a].pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: error parsing regexp: missing closing ): `(`",
        ],
    ),
];

#[test]
fn structure() {
    for (text, wanted) in STRUCTURE {
        assert_eq!(complaints(text), *wanted, "{text}");
    }
}

#[test]
fn unsupported() {
    let table: &[(&str, &[&str])] = &[
        (
            "{type: object, properties: {a: {type: string, $ref: x}}}",
            &["s.properties[a].$ref: Forbidden: $ref is not supported"],
        ),
        ("{type: object, id: x}", &["s.id: Forbidden: id is not supported"]),
        (
            "{type: object, patternProperties: {x: {}}}",
            &["s.patternProperties: Forbidden: patternProperties is not supported"],
        ),
        ("{type: object, definitions: {x: {}}}", &["s.definitions: Forbidden: definitions is not supported"]),
        (
            "{type: object, dependencies: {x: [a]}}",
            &["s.dependencies: Forbidden: dependencies is not supported"],
        ),
        (
            "{type: object, properties: {a: {type: array, items: [{type: string}]}}}",
            &["s.properties[a].items: Forbidden: items must be a schema object and not an array"],
        ),
        (
            "{type: object, properties: {a: {type: array, uniqueItems: true, items: {type: string}}}}",
            &[
                "s.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            ],
        ),
        (
            "{type: object, properties: {a: {type: bug}}}",
            &[
                "s.properties[a].type: Unsupported value: \"bug\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
            ],
        ),
        (
            "{type: object, properties: {a: {type: object, properties: {b: {type: string}}, additionalProperties: {type: string}}}}",
            &[
                "s.properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
            ],
        ),
        (
            "{type: object, properties: {a: {type: string, x-kubernetes-preserve-unknown-fields: false}}}",
            &[
                "s.properties[a].x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
            ],
        ),
        (
            "{type: object, properties: {a: {type: string, x-kubernetes-map-type: x}}}",
            &[
                "s.properties[a].type: Invalid value: \"string\": must be object if x-kubernetes-map-type is specified",
                "s.properties[a].x-kubernetes-map-type: Unsupported value: \"x\": supported values: \"atomic\", \"granular\"",
            ],
        ),
        (
            "{type: object, properties: {metadata: {type: object, default: {name: x}}}}",
            &["s.properties[metadata].default: Forbidden: must not be set in top-level metadata"],
        ),
    ];
    for (text, wanted) in table {
        assert_eq!(complaints(text), *wanted, "{text}");
    }
}

#[test]
fn lists() {
    let list = |rest: &str| complaints(&format!("{{type: object, properties: {{a: {{{rest}}}}}}}"));
    let table: &[(&str, &[&str])] = &[
        (
            "type: string, x-kubernetes-list-type: set",
            &["type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified"],
        ),
        (
            "type: array, items: {type: string}, x-kubernetes-list-type: bag",
            &[
                "x-kubernetes-list-type: Unsupported value: \"bag\": supported values: \"atomic\", \"set\", \"map\"",
            ],
        ),
        (
            "type: array, items: {type: object}, x-kubernetes-list-type: set",
            &[
                "items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
            ],
        ),
        (
            "type: array, items: {type: string, nullable: true}, x-kubernetes-list-type: set",
            &["items.nullable: Forbidden: cannot be nullable when x-kubernetes-list-type is set"],
        ),
        (
            "type: array, items: {type: string}, x-kubernetes-list-map-keys: [k]",
            &[
                "x-kubernetes-list-type: Required value: must be map if x-kubernetes-list-map-keys is non-empty",
            ],
        ),
        (
            "type: array, items: {type: string}, x-kubernetes-list-type: map",
            &[
                "x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
                "items.type: Invalid value: \"string\": must be object if parent array's x-kubernetes-list-type is map",
            ],
        ),
        (
            "type: array, items: {type: object, properties: {k: {type: string}}}, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [k, j]",
            &[
                "x-kubernetes-list-map-keys: Invalid value: [\"k\",\"j\"]: entries must all be names of item properties",
                "items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ],
        ),
    ];
    for (text, wanted) in table {
        let wanted: Vec<String> = wanted.iter().map(|w| format!("s.properties[a].{w}")).collect();
        assert_eq!(list(text), wanted, "{text}");
    }
}

#[test]
fn defaults() {
    let table: &[(&str, &[&str])] = &[
        (
            "a: {type: object, default: {b: 1}}",
            &["s.properties[a].default: Invalid value: {\"b\":1}: must not have unknown fields"],
        ),
        (
            "a: {type: string, default: 1}",
            &[
                "s.properties[a].default: Invalid value: \"integer\":  in body must be of type string: \"integer\"",
            ],
        ),
        (
            "a: {type: string, default: abc, maxLength: 2}",
            &["s.properties[a].default: Too long: may not be more than 2 bytes"],
        ),
        (
            "a: {type: object, x-kubernetes-preserve-unknown-fields: true, x-kubernetes-embedded-resource: true, default: {kind: X}}",
            &["s.properties[a].default.apiVersion: Required value"],
        ),
        (
            "a: {type: object, x-kubernetes-embedded-resource: true, properties: {metadata: {type: object, properties: {labels: {type: object, additionalProperties: {type: string}, default: {'-': x}}}}}}",
            &[
                "s.properties[a].properties[metadata].properties[labels].default: Invalid value: {\"-\":\"x\"}: must result in valid metadata: metadata.labels: Invalid value: \"-\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            ],
        ),
    ];
    for (text, wanted) in table {
        assert_eq!(complaints(&format!("{{type: object, properties: {{{text}}}}}")), *wanted, "{text}");
    }
}

#[test]
fn rules_and_status_and_selectable_fields() {
    let rules = complaints(
        "{type: object, properties: {a: {type: object}}, x-kubernetes-validations: [{rule: ' '}, {rule: a, message: ' '}, {rule: \"a\\nb\"}, {rule: a, reason: Bug, fieldPath: .b}, {rule: a, fieldPath: .a, messageExpression: ' '}]}",
    );
    let at = |i: usize, rest: &str| format!("s.x-kubernetes-validations[{i}].{rest}");
    assert_eq!(
        rules,
        [
            at(0, "rule: Required value: rule is not specified"),
            at(1, "message: Invalid value: \" \": must be non-empty if specified"),
            at(2, "message: Required value: message must be specified if rule contains line breaks"),
            at(
                3,
                "reason: Unsupported value: \"Bug\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\""
            ),
            at(3, "fieldPath: Invalid value: \".b\": must be a valid path"),
            at(4, "messageExpression: Required value: messageExpression must be non-empty if specified"),
        ]
    );
    let status =
        |text: &str| Structural::check_status_root(&schema(text), &Path::new("s")).map(|e| e.to_string());
    assert_eq!(status("{type: object, description: d, required: [a], properties: {}}"), None);
    assert!(status("{type: object, oneOf: [{}]}").unwrap().contains("only [Description Type Format"));
    let s = compiled(
        "{type: object, properties: {spec: {type: object, properties: {a: {type: string}, num: {type: number}}}}}",
    );
    let fields =
        value("[{jsonPath: .spec.a}, {jsonPath: .spec.b}, {jsonPath: .spec.num}, {jsonPath: .spec.a}, {}]");
    let found = s.check_selectable_fields(fields.as_list().unwrap(), &Path::new("f"));
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "f[1].jsonPath: Invalid value: \".spec.b\": is an invalid path: does not refer to a valid field",
            "f[2].jsonPath: Invalid value: \".spec.num\": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
            "f[3].jsonPath: Duplicate value: \".spec.a\"",
            "f[4].jsonPath: Required value",
        ]
    );
}

/// A schema of objects in objects.
fn nested(depth: usize) -> Value {
    let mut schema = value("{type: string}");
    for _ in 1..depth {
        let mut outer = value("{type: object, properties: {a: {}}}");
        outer.set_at(&["properties", "a"], schema);
        schema = outer;
    }
    schema
}

#[test]
fn depth_and_size_have_limits() {
    let at = Path::new("s");
    assert_eq!(Structural::compile(&nested(MAX_DEPTH), false, &at).1, []);
    let errors = Structural::compile(&nested(MAX_DEPTH + 4), false, &at).1;
    assert_eq!(errors[0].to_string(), "s: Forbidden: must not have schemas nested deeper than 128");
    // As many complaints as anybody reads, and no more bytes.
    let many: Vec<String> = (0..5000).map(|i| format!("a{i}: {{}}")).collect();
    let errors = complaints(&format!("{{type: object, properties: {{{}}}}}", many.join(", ")));
    assert!(errors.len() <= 1002, "{}", errors.len());
    assert!(errors.last().unwrap().contains("more complaints are left out"), "{:?}", errors.last());
}
