//! What the notes app was told to write down, by whom, on whose behalf: the proof that a forged request was carried out.

use std::sync::Mutex;

use serde::Serialize;

use crate::storage::Site;

/// A note that was written.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Note {
    #[serde(skip)]
    pub(crate) site: Site,
    /// Whose note it is.
    pub(crate) subject: String,
    pub(crate) text: String,
    /// The request that wrote it.
    pub(crate) by: String,
}

/// Notes kept. A run of all storages writes a few hundred.
const KEPT: usize = 4096;

/// All notes of all sites.
#[derive(Debug, Default)]
pub(crate) struct Journal(Mutex<Vec<Note>>);

impl Journal {
    pub(crate) fn write(&self, note: Note) {
        let mut notes = self.lock();
        if notes.len() == KEPT {
            notes.remove(0);
        }
        notes.push(note);
    }

    /// The note of that text on that site.
    pub(crate) fn find(&self, site: Site, text: &str) -> Option<Note> {
        self.lock().iter().find(|note| note.site == site && note.text == text).cloned()
    }

    /// What that subject reads.
    pub(crate) fn of(&self, site: Site, subject: &str) -> Vec<Note> {
        let notes = self.lock();
        let newest = notes.iter().rev().filter(|note| note.site == site && note.subject == subject);
        newest.take(10).cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Note>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
