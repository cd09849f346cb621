use crate::refusal::Refusal;

/// A class of tea.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Category {
    /// Its stable code.
    pub id: &'static str,
    /// In Chinese.
    pub name: &'static str,
    /// In English. Black tea is 红茶, and 黑茶 is dark tea.
    pub name_en: &'static str,
    /// The class it belongs to.
    pub parent: Option<&'static str>,
}

const fn category(
    id: &'static str,
    name: &'static str,
    name_en: &'static str,
    parent: Option<&'static str>,
) -> Category {
    Category { id, name, name_en, parent }
}

/// The six classes of GB/T 30766 with pu'er beside its own, the scented, and
/// what is no tea.
pub const CATEGORIES: [Category; 9] = [
    category("green", "绿茶", "Green tea", None),
    category("white", "白茶", "White tea", None),
    category("yellow", "黄茶", "Yellow tea", None),
    category("oolong", "乌龙茶", "Oolong tea", None),
    category("black", "红茶", "Black tea", None),
    category("dark", "黑茶", "Dark tea", None),
    category("dark.puer", "普洱茶", "Pu'er tea", Some("dark")),
    category("scented", "花茶", "Scented tea", None),
    category("other", "其他", "Other", None),
];

impl Category {
    /// The classes that `id` holds: itself, and those that belong to it.
    pub fn within(id: &str) -> impl Iterator<Item = &'static str> + use<'_> {
        let holds = move |it: &Category| it.id == id || it.parent == Some(id);
        CATEGORIES.into_iter().filter(holds).map(|category| category.id)
    }

    /// The category called `id`.
    ///
    /// # Errors
    /// `unknown_category`, with the nearest names.
    pub fn find(id: &str) -> Result<Category, Refusal> {
        CATEGORIES.into_iter().find(|category| category.id == id).ok_or_else(|| {
            let known = CATEGORIES.iter().map(|category| category.id);
            Refusal::unknown("category", "unknown_category", ("category", "茶类"), id, known)
        })
    }
}
