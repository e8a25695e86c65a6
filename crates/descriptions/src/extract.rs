//! Reads descriptions out of the source of k8s-openapi. Besides its structs the crate carries each type's schema,
//! written as JSON in Rust with upstream's text word for word; the layout of its lines says what belongs where. The
//! build script is the only user.

use std::collections::BTreeMap;

/// Between types.
const TYPE: char = '\u{1e}';
/// Between names and texts.
const PART: char = '\u{1f}';

const MEMBER: &str = "            \"";
const TEXT: &str = "            \"description\": ";
const PROPERTY: &str = "                \"";
const PROPERTY_TEXT: &str = "                    \"description\": ";
/// Fields that are a type of their own take its schema and put their description in.
const REFERENCE_TEXT: &str = "                    schema_obj.ensure_object().insert(\"description\".into(), ";

/// A type with what is said of it and of its fields.
#[derive(Debug, Default, PartialEq)]
pub struct Described {
    /// `io.k8s.api.core.v1.Pod`.
    pub name: String,
    pub text: String,
    /// By JSON name.
    pub fields: BTreeMap<String, String>,
}

/// The types that a file describes.
pub fn types(source: &str) -> Vec<Described> {
    source.split("fn schema_name()").skip(1).filter_map(described).collect()
}

fn described(source: &str) -> Option<Described> {
    let name = source.lines().nth(1)?.trim_start();
    let mut out = Described { name: literal(name)?, ..Described::default() };
    let mut field = None;
    for line in source.lines().take_while(|l| *l != "}") {
        if let Some(text) = line.strip_prefix(TEXT).and_then(literal) {
            out.text = text;
        } else if let Some(text) = line.strip_prefix(PROPERTY_TEXT).or(line.strip_prefix(REFERENCE_TEXT)) {
            if let (Some(field), Some(text)) = (field.clone(), literal(text)) {
                out.fields.insert(field, text);
            }
        } else if let Some(name) = line.strip_prefix(PROPERTY) {
            field = name.split_once("\": ").map(|(name, _)| name.to_owned());
        } else if line.starts_with(MEMBER) {
            field = None;
        }
    }
    Some(out)
}

/// The text of the string literal that `source` begins with, as Rust and JSON write it.
pub fn literal(source: &str) -> Option<String> {
    let mut chars = source.strip_prefix('"')?.chars();
    let mut out = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(out),
            '\\' => out.push(match chars.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                c @ ('\\' | '"' | '\'' | '/') => c,
                'u' => {
                    let code: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    char::from_u32(u32::from_str_radix(&code, 16).ok()?)?
                }
                _ => return None,
            }),
            c => out.push(c),
        }
    }
}

/// The table that is packed: types in the given order, each with its name, its text, and the names and texts of its
/// fields.
pub fn table(types: &[Described]) -> String {
    let entries = types.iter().map(|t| {
        let fields = t.fields.iter().map(|(name, text)| format!("{PART}{name}{PART}{text}"));
        format!("{}{PART}{}{}", t.name, t.text, fields.collect::<String>())
    });
    entries.collect::<Vec<_>>().join(&TYPE.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
/// Not this.
pub struct Thing {}

impl crate::schemars::JsonSchema for Thing {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "io.example.v1.Thing".into()
    }

    fn json_schema(__gen: &mut crate::schemars::SchemaGenerator) -> crate::schemars::Schema {
        crate::schemars::json_schema!({
            "description": "A \"thing\".\n\nOf \\ \u{3b1}.",
            "type": "object",
            "properties": {
                "description": {
                    "description": "Says what it is.",
                    "type": "array",
                    "items": {
                        "description": "Not this either.",
                    },
                },
                "plain": {
                    "type": "string",
                },
                "spec": ({
                    let mut schema_obj = __gen.subschema_for::<crate::Spec>();
                    schema_obj.ensure_object().insert("description".into(), "What is wanted.".into());
                    schema_obj
                }),
            },
            "required": [
                "spec",
            ],
        })
    }
}
"#;

    #[test]
    fn schemas_are_read() {
        let fields = [("description", "Says what it is."), ("spec", "What is wanted.")];
        let want = Described {
            name: "io.example.v1.Thing".into(),
            text: "A \"thing\".\n\nOf \\ α.".into(),
            fields: fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        };
        assert_eq!(types(SOURCE), [want]);
        assert!(types("pub struct Nothing;").is_empty());
    }

    #[test]
    fn literals_that_are_none() {
        for source in ["", "text", "\"open", "\"\\", "\"\\q\"", "\"\\u{zz}\""] {
            assert_eq!(literal(source), None, "{source}");
        }
    }
}
