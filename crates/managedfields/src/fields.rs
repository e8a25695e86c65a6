//! The fields that an object has, in the units in which they are owned; and whether an applied configuration is of its
//! type. It must never take what the type does not allow.
// k8s: structured-merge-diff/typed/tofieldset.go, validate.go

use schema::{TypeRef, Value};

use crate::element::Element;
use crate::parts::{Part, elements, step_to, zip};
use crate::place::{Atom, Place, Rel, Zeros, go_value};
use crate::set::{Node, Set};

/// The fields of a configuration as it was given.
///
/// # Errors
/// When the elements of a list cannot be told apart.
pub fn fields_of(config: &Value, ty: TypeRef<'_>) -> Result<Set, String> {
    fields_at(config, Place::root(ty))
}

pub(crate) fn fields_at(value: &Value, place: Place<'_>) -> Result<Set, String> {
    walk(value, place).map(|(_, set)| set)
}

/// Whether the place itself is a field, and the fields below it.
fn walk(value: &Value, place: Place<'_>) -> Result<(bool, Set), String> {
    let atom = place.atom(Some(value));
    match atom {
        Atom::Scalar(_)
        | Atom::List { rel: Rel::Atomic, .. }
        | Atom::Struct { atomic: true, .. }
        | Atom::Map { atomic: true, .. } => Ok((true, Set::new())),
        Atom::List { elem, rel } => Ok((false, items(elements(Some(value)), elem, rel)?)),
        Atom::Struct { .. } | Atom::Map { .. } => {
            let is_map = matches!(atom, Atom::Map { .. });
            let mut nodes = Vec::new();
            zip(atom, Some(value), None, Zeros::AsIs, &mut |part: &Part<'_, '_>| {
                let (Some(value), Some(place)) = (part.left, part.place) else { return Ok(()) };
                let (mut member, children) = walk(value, place)?;
                // Entries of maps are fields themselves, those of structs only where nothing is below.
                member |= is_map || matches!(part.name, crate::parts::Name::Entry(_)) || is_bare(value);
                nodes.push(Node { element: part.name.element(), member, children });
                Ok::<(), String>(())
            })?;
            Ok((false, Set::from_nodes(nodes)))
        }
    }
}

fn is_bare(value: &Value) -> bool {
    matches!(value, Value::Null) || matches!(value, Value::Map(m) if m.is_empty())
}

fn items(list: &[Value], elem: Place<'_>, rel: Rel<'_>) -> Result<Set, String> {
    let mut nodes: Vec<Node> = Vec::with_capacity(list.len());
    for item in list {
        let element = step_to(item, elem, rel, Zeros::AsIs)?;
        let (_, children) = walk(item, elem)?;
        nodes.push(Node { element, member: true, children });
    }
    nodes.sort_by(|a, b| a.element.cmp(&b.element));
    // Elements that repeat are owned as one, without their parts.
    nodes.dedup_by(|later, first| {
        let again = later.element == first.element;
        if again {
            first.children = Set::new();
        }
        again
    });
    Ok(Set::from_nodes(nodes))
}

/// Whether a configuration is of the type, with nothing in lists twice.
///
/// # Errors
/// All that is wrong, as upstream puts it together.
pub fn validate(config: &Value, ty: TypeRef<'_>) -> Result<(), String> {
    let mut check = Check { path: Vec::new(), wrong: Vec::new() };
    check.place(config, Place::root(ty));
    match check.wrong.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

/// What is said of one configuration at most.
const LIMIT_COMPLAINTS: usize = 100;

struct Check {
    path: Vec<Element>,
    wrong: Vec<String>,
}

impl Check {
    fn complain(&mut self, why: &str) {
        if self.wrong.len() >= LIMIT_COMPLAINTS {
            return;
        }
        let path: String = self.path.iter().map(Element::to_string).collect();
        self.wrong.push(if path.is_empty() { why.to_owned() } else { format!("{path}: {why}") });
    }

    fn below(&mut self, element: Element, value: &Value, place: Place<'_>) {
        self.path.push(element);
        self.place(value, place);
        self.path.pop();
    }

    fn place(&mut self, value: &Value, place: Place<'_>) {
        let atom = place.atom(Some(value));
        match (atom, value) {
            (Atom::Scalar(scalar), v) => {
                if let Some(why) = scalar.complaint(v) {
                    self.complain(&why);
                }
            }
            (_, Value::Null) => {}
            (Atom::List { elem, rel }, Value::List(list)) => self.list(list, elem, rel),
            (Atom::List { .. }, v) => self.complain(&format!("expected list, got {}", go_value(v))),
            (Atom::Struct { .. } | Atom::Map { .. }, Value::Map(_)) => {
                let _ = zip(atom, Some(value), None, Zeros::AsIs, &mut |part: &Part<'_, '_>| {
                    let Some(value) = part.left else { return Ok(()) };
                    match part.place {
                        Some(place) => self.below(part.name.element(), value, place),
                        None => {
                            self.path.push(part.name.element());
                            self.complain("field not declared in schema");
                            self.path.pop();
                        }
                    }
                    Ok::<(), ()>(())
                });
            }
            (Atom::Struct { .. } | Atom::Map { .. }, v) => {
                self.complain(&format!("expected map, got {}", go_value(v)));
            }
        }
    }

    fn list(&mut self, list: &[Value], elem: Place<'_>, rel: Rel<'_>) {
        let mut seen: Vec<Element> = Vec::with_capacity(list.len());
        for (at, item) in list.iter().enumerate() {
            let element = match rel {
                Rel::Atomic => Element::Index(i64::try_from(at).unwrap_or(i64::MAX)),
                _ => match step_to(item, elem, rel, Zeros::AsIs) {
                    Ok(element) => element,
                    Err(why) => return self.complain(&format!("element {at}: {why}")),
                },
            };
            self.below(element.clone(), item, elem);
            seen.push(element);
        }
        seen.sort();
        for repeated in seen.windows(2).filter(|pair| pair[0] == pair[1]) {
            self.complain(&format!("duplicate entries for key {}", repeated[0]));
        }
    }
}
