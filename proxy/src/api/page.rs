//! Pages of lists: how many rows, and where the next page begins. A page is made of what is on it, and not of the whole list.

use wire::api::Page;

use super::problem::No;

/// Rows of a page where nothing is said, and at most.
const USUAL: usize = 500;
const MOST: usize = 1000;

/// How many rows are asked for.
pub(super) fn limit(asked: Option<u32>) -> usize {
    within(asked, USUAL, MOST)
}

/// The same for a list with other numbers.
pub(super) fn within(asked: Option<u32>, usual: usize, most: usize) -> usize {
    asked.map_or(usual, |asked| usize::try_from(asked).unwrap_or(most)).clamp(1, most)
}

/// The first rows of the rest of a list; where there are more, the place of the last one as what the next page begins after.
pub(super) fn of<T>(rest: impl IntoIterator<Item = T>, limit: usize, place: impl Fn(&T) -> String) -> Page<T> {
    let mut rest = rest.into_iter();
    let items: Vec<T> = rest.by_ref().take(limit).collect();
    let next = rest.next().and(items.last()).map(place);
    Page { items, next }
}

/// A place in a list that is sorted by a number and an id, as text.
pub(super) fn place(number: i64, id: &str) -> String {
    format!("{number}.{id}")
}

/// What [`place`] wrote.
pub(super) fn placed(text: &str) -> Result<(i64, &str), No> {
    let parts = text.split_once('.').and_then(|(number, id)| Some((number.parse().ok()?, id)));
    parts.ok_or_else(|| No::bad("NARU-W422", "after is the next of a page of this list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_the_next_one_begins_and_the_last_page_does_not() {
        let page = |after: u32, limit| of((0..5_u32).skip_while(|n| *n < after), limit, ToString::to_string);
        assert_eq!((page(0, 2).items, page(0, 2).next), (vec![0, 1], Some("1".to_owned())));
        assert_eq!((page(3, 2).items, page(3, 2).next), (vec![3, 4], None));
        assert_eq!((page(5, 2).items, page(5, 2).next), (Vec::new(), None));
        assert_eq!((limit(None), limit(Some(0)), limit(Some(7)), limit(Some(u32::MAX))), (500, 1, 7, 1000));
        assert_eq!(placed(&place(-3, "a.b")).ok(), Some((-3, "a.b")));
        assert!(placed("x").is_err() && placed("x.y").is_err());
    }
}
