//! Pages that are counted instead of ranks: the page that shows the most after a rank.

/// The size of the page that begins at or before `rank` and shows the most rows after it, among all sizes
/// up to `largest`; a larger one, up to `ceiling`, only if none of these shows any.
///
/// Page `rank / size` begins at rank `rank - rank % size`. Some size divides nearly any rank with a small
/// remainder, so that pages overlap by few rows, whatever their sizes were before.
pub(super) fn page_over(rank: u64, largest: u32, ceiling: u32) -> u32 {
    let after = |size: u32| u64::from(size) - rank % u64::from(size) - 1;
    let most = (2..=largest.max(2)).max_by_key(|size| (after(*size), *size)).unwrap_or(2);
    if after(most) > 0 {
        return most;
    }
    (largest.max(2)..=ceiling.max(largest)).find(|size| after(*size) > 0).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_the_row_at_the_rank_and_what_follows() {
        for (rank, size) in [(0, 200), (199, 199), (397, 198), (595, 198)] {
            assert_eq!(page_over(rank, 200, 200), size, "rank {rank}");
        }
        let mut rank = 0;
        let mut pages = 0;
        while rank < 1_000_000 {
            let size = u64::from(page_over(rank, 200, 200));
            let begin = rank / size * size;
            assert!(begin <= rank && rank + 1 < begin + size, "rank {rank}: {size}");
            rank = begin + size - 1;
            pages += 1;
        }
        // 5,000 pages would do without any row in common.
        assert_eq!(pages, 5_470);
    }

    #[test]
    fn small_pages_that_all_end_at_the_rank_give_way_to_a_larger_one() {
        for largest in 2..=8 {
            for rank in 0..100_000 {
                let size = u64::from(page_over(rank, largest, 200));
                assert!(rank % size + 1 < size, "rank {rank} of pages up to {largest}: {size}");
            }
        }
    }
}
