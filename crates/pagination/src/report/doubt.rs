//! What speaks against the completeness of a scan, and what would remove each doubt.

use core::fmt;

/// Something that speaks against completeness. A scan with a doubt is best effort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Doubt {
    /// Rows have no usable key, so the scan cannot recognize them.
    BadRows,
    /// The API counts more rows than it showed, and no write explains it.
    CountDiffers,
    /// A cursor led to rows that it had shown before.
    Duplicates,
    /// No answer states that the list ends here.
    EndNotStated,
    /// No answer in the reverse order overlapped the rows read.
    FenceNotMet,
    /// The scan read more rows than it can remember while rows moved, so a row may have come twice.
    Forgotten,
    /// The API counts rows that it does not show, so some pages could not be joined.
    HiddenRows,
    /// One answer showed the same key twice.
    KeyNotUnique,
    /// The scan resumed inside a page whose rows have no key.
    KeylessResume,
    /// The rows are sorted by a field that may change.
    MutableSort,
    /// The API counts its pages in a fixed size, so no two pages overlap.
    NoOverlap,
    /// A cursor or link holds an offset, which loses rows while rows are deleted.
    OffsetCursor,
    /// An answer contradicts the order that the filter for keys rests on, so the filter may have left out rows.
    OrderContradicted,
    /// The API states that an answer is partial.
    Partial,
    /// The rows do not show the fields that they are sorted by.
    SortNotShown,
    /// The API cannot sort the list, so rows may change places between two pages.
    Unsorted,
}

impl Doubt {
    /// Every doubt.
    const ALL: [Self; 16] = [
        Self::BadRows,
        Self::CountDiffers,
        Self::Duplicates,
        Self::EndNotStated,
        Self::FenceNotMet,
        Self::Forgotten,
        Self::HiddenRows,
        Self::KeyNotUnique,
        Self::KeylessResume,
        Self::MutableSort,
        Self::NoOverlap,
        Self::OffsetCursor,
        Self::OrderContradicted,
        Self::Partial,
        Self::SortNotShown,
        Self::Unsorted,
    ];

    /// Its name, what it means, and what would remove it.
    const fn words(self) -> [&'static str; 3] {
        match self {
            Self::BadRows => [
                "bad_rows",
                "rows have no usable key",
                "name a field that every row has with `Query::key`",
            ],
            Self::CountDiffers => [
                "count_differs",
                "the API counts more rows than it showed",
                "scan again with a credential that may read all rows",
            ],
            Self::Duplicates => [
                "duplicates",
                "the API showed rows more than once",
                "sort by a unique field that never changes",
            ],
            Self::EndNotStated => [
                "end_not_stated",
                "no answer states where the list ends",
                "let the dialect name the API's statement with `Next::End`",
            ],
            Self::FenceNotMet => [
                "fence_not_met",
                "the reverse order never overlapped the rows read",
                "scan again while fewer rows are written",
            ],
            Self::Forgotten => [
                "forgotten",
                "the scan read more rows than it remembers while rows moved",
                "read the list in ranges",
            ],
            Self::HiddenRows => [
                "hidden_rows",
                "the API counts rows that it does not show",
                "ask for larger pages, or use a credential that may read all rows",
            ],
            Self::KeyNotUnique => [
                "key_not_unique",
                "one answer shows the same key twice",
                "name a unique field with `Query::key`",
            ],
            Self::KeylessResume => [
                "keyless_resume",
                "the scan resumed among rows without a key",
                "name a unique field with `Query::key`, or save checkpoints between pages",
            ],
            Self::MutableSort => [
                "mutable_sort",
                "the sort has a field that may change",
                "sort by the key, or state `Query::immutable` for a field that never changes",
            ],
            Self::NoOverlap => [
                "no_overlap",
                "pages of a fixed size cannot overlap",
                "use a dialect that asks for a page size or an offset",
            ],
            Self::OffsetCursor => [
                "offset_cursor",
                "the API's cursors or links hold offsets",
                "read the list by offset with a sort by its key",
            ],
            Self::OrderContradicted => [
                "order_contradicted",
                "the rows are not in the order that the filter for keys rests on",
                "read the list by offset in one scan",
            ],
            Self::Partial => [
                "partial",
                "the API states that an answer is partial",
                "scan again when the API can reach all of its parts",
            ],
            Self::SortNotShown => [
                "sort_not_shown",
                "the rows do not show the fields that they are sorted by",
                "select these fields with `Query::fields`",
            ],
            Self::Unsorted => [
                "unsorted",
                "the API cannot sort the list",
                "`Query::new` with a dialect that sorts by the key, in place of `Query::unstable`",
            ],
        }
    }

    /// A stable name for reports and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.words()[0]
    }

    /// What would remove it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        self.words()[2]
    }

    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|doubt| doubt.name() == name)
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words()[1])
    }
}

/// A set of doubts that copies without an allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doubts(u32);

impl Doubts {
    pub(crate) fn of(doubts: &[Doubt]) -> Self {
        Self(doubts.iter().fold(0, |set, doubt| set | 1 << *doubt as u32))
    }

    pub(crate) fn to_vec(self) -> Vec<Doubt> {
        Doubt::ALL.into_iter().filter(|doubt| self.0 >> *doubt as u32 & 1 == 1).collect()
    }
}
