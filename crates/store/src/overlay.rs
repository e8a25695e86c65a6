//! Lists, now or at a recent revision: the newest state with the later events undone.

use std::collections::BTreeMap;
use std::iter::Peekable;

use crate::{Entry, Error, Key, ListOptions, Page};

/// Keys whose state at the asked revision differs from the newest one; `None` is absent.
pub(crate) type Overlay = BTreeMap<Key, Option<Entry>>;

/// Merges `base` (ordered) with `overlay` and cuts the page. `revision` goes into the page.
pub(crate) fn page(
    base: impl Iterator<Item = Result<Entry, Error>>,
    overlay: Overlay,
    options: ListOptions<'_>,
    revision: u64,
) -> Result<Page, Error> {
    let mut merged = Merged { base: base.peekable(), overlay: overlay.into_iter().peekable() };
    let mut entries = Vec::new();
    let mut more = false;
    while let Some(entry) = merged.next()? {
        if options.limit > 0 && entries.len() == options.limit {
            more = true;
            break;
        }
        entries.push(entry);
    }
    Ok(Page { entries, revision, more })
}

struct Merged<B: Iterator, O: Iterator> {
    base: Peekable<B>,
    overlay: Peekable<O>,
}

impl<B, O> Merged<B, O>
where
    B: Iterator<Item = Result<Entry, Error>>,
    O: Iterator<Item = (Key, Option<Entry>)>,
{
    fn next(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            let take_base = match (self.base.peek(), self.overlay.peek()) {
                (None, None) => return Ok(None),
                (Some(Err(error)), _) => return Err(error.clone()),
                (Some(Ok(_)), None) => true,
                (None, Some(_)) => false,
                (Some(Ok(entry)), Some((key, _))) if entry.key == *key => {
                    self.base.next();
                    false
                }
                (Some(Ok(entry)), Some((key, _))) => entry.key < *key,
            };
            if take_base {
                return self.base.next().transpose();
            }
            if let Some((_, Some(entry))) = self.overlay.next() {
                return Ok(Some(entry));
            }
        }
    }
}

/// The first key range bound for a list: behind `start_after` when that lies inside or behind the prefix.
pub(crate) fn lower_bound<'a>(prefix: &'a str, start_after: Option<&'a str>) -> std::ops::Bound<&'a str> {
    match start_after {
        Some(key) if key >= prefix => std::ops::Bound::Excluded(key),
        _ => std::ops::Bound::Included(prefix),
    }
}
