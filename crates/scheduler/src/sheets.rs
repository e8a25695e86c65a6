//! What the plugins say about each node for pods with equal needs, worked out once per change of the node.

use std::collections::HashMap;

use crate::framework::Rejection;
use crate::plugins::{self, SCORING, image_locality};
use crate::pod::{Needs, Part};
use crate::snapshot::NodeInfo;

/// So many sheets are kept.
const LIMIT: usize = 32;
/// A sheet with more different rejections than this is begun anew.
const REASONS: usize = 1024;

/// What is known about one node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry {
    /// The node's generation when it was worked out.
    generation: u64,
    /// Raw scores of [`SCORING`].
    pub scores: [i32; SCORING.len()],
    /// 0: the node will do; else the number of a rejection, counted from 1.
    pub verdict: u16,
}

/// The nodes as pods with equal needs see them.
#[derive(Debug, Default)]
pub struct Sheet {
    entries: Vec<Entry>,
    reasons: Vec<Rejection>,
    /// Sizes of the pod's images, node by node.
    sizes: Vec<i64>,
    used: u64,
}

impl Sheet {
    /// What is known about the node, worked out if need be.
    #[inline]
    pub fn look(&mut self, needs: &Needs, slot: usize, node: &NodeInfo) -> Entry {
        match self.entries.get(slot) {
            Some(e) if e.generation == node.generation => *e,
            _ => self.work_out(needs, slot, node),
        }
    }

    fn work_out(&mut self, needs: &Needs, slot: usize, node: &NodeInfo) -> Entry {
        if self.reasons.len() > REASONS {
            *self = Sheet { used: self.used, ..Sheet::default() };
        }
        let mut entry = Entry { generation: node.generation, ..Entry::default() };
        match plugins::filter(needs, node) {
            Err(rejection) => entry.verdict = self.number(rejection),
            Ok(()) => {
                for (score, plugin) in entry.scores.iter_mut().zip(SCORING) {
                    if plugin.scores(needs) {
                        *score = i32::try_from(plugin.score(needs, node)).unwrap_or(i32::MAX);
                    }
                }
                let images = needs.images.len();
                if self.sizes.len() < (slot + 1) * images {
                    self.sizes.resize((slot + 1) * images, 0);
                }
                for (i, image) in needs.images.iter().enumerate() {
                    self.sizes[slot * images + i] = image_locality::size(node, image);
                }
            }
        }
        if self.entries.len() <= slot {
            self.entries.resize(slot + 1, Entry::default());
        }
        self.entries[slot] = entry;
        entry
    }

    fn number(&mut self, rejection: Rejection) -> u16 {
        let at = self.reasons.iter().position(|r| *r == rejection).unwrap_or_else(|| {
            self.reasons.push(rejection);
            self.reasons.len() - 1
        });
        u16::try_from(at + 1).unwrap_or(u16::MAX)
    }

    /// The rejection of a verdict that is not 0.
    #[must_use]
    pub fn rejection(&self, verdict: u16) -> Option<&Rejection> {
        self.reasons.get(usize::from(verdict).checked_sub(1)?)
    }

    /// What was worked out last about a node that will do.
    #[must_use]
    pub fn entry(&self, slot: usize) -> Entry {
        self.entries.get(slot).copied().unwrap_or_default()
    }

    /// Sizes of the pod's `images` images on a node.
    #[must_use]
    pub fn sizes(&self, slot: usize, images: usize) -> &[i64] {
        self.sizes.get(slot * images..(slot + 1) * images).unwrap_or_default()
    }
}

/// All sheets, by the number of the needs.
#[derive(Debug, Default)]
pub struct Sheets {
    sheets: HashMap<u64, Sheet>,
    clock: u64,
}

impl Sheets {
    /// The sheet for pods with these needs.
    pub fn of(&mut self, needs: &Part<Needs>) -> &mut Sheet {
        self.clock += 1;
        if self.sheets.len() >= LIMIT
            && !self.sheets.contains_key(&needs.id)
            && let Some(oldest) = self.sheets.iter().min_by_key(|(_, s)| s.used).map(|(id, _)| *id)
        {
            self.sheets.remove(&oldest);
        }
        let sheet = self.sheets.entry(needs.id).or_default();
        sheet.used = self.clock;
        sheet
    }

    /// Forgets all. Nothing comes out differently.
    pub fn forget(&mut self) {
        self.sheets.clear();
    }
}
