//! Which JSON fields are source columns: a tree of object keys.

use millstream_spec::SourceColumn;

/// The tree. Node 0 is the record itself.
#[derive(Debug)]
pub(crate) struct Fields {
    nodes: Vec<Node>,
}

/// What is wanted of a JSON value.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Columns that hold this value. More than one when columns share a path.
    pub(crate) columns: Vec<usize>,
    /// Fields of this object that are wanted, as nodes.
    children: Vec<(String, usize)>,
    /// Where it is in the record, for messages.
    pub(crate) path: String,
}

impl Fields {
    pub(crate) fn new(columns: &[SourceColumn]) -> Self {
        let mut fields = Fields { nodes: vec![Node::default()] };
        for (index, column) in columns.iter().enumerate() {
            let mut node = 0;
            for key in &column.path {
                node = fields.child_or_new(node, key);
            }
            fields.nodes[node].columns.push(index);
        }
        fields
    }

    fn child_or_new(&mut self, node: usize, key: &str) -> usize {
        if let Some((_, child)) = self.nodes[node].children.iter().find(|(name, _)| name == key) {
            return *child;
        }
        let child = self.nodes.len();
        let parent = &self.nodes[node].path;
        let path = if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") };
        self.nodes.push(Node { path, ..Node::default() });
        self.nodes[node].children.push((key.to_owned(), child));
        child
    }

    pub(crate) fn node(&self, node: usize) -> &Node {
        &self.nodes[node]
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }
}

impl Node {
    pub(crate) fn has_children(&self) -> bool {
        !self.children.is_empty()
    }

    /// The child called `key`. `hint` is where it is looked for first, and where the next one will be: producers write
    /// the fields of their records in one order.
    pub(crate) fn child(&self, key: &str, hint: &mut usize) -> Option<usize> {
        let count = self.children.len();
        for offset in 0..count {
            let at = (*hint + offset) % count;
            let (name, child) = &self.children[at];
            if name == key {
                *hint = at + 1;
                return Some(*child);
            }
        }
        None
    }
}
