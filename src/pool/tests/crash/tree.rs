//! A plain file system in memory: names, and the nodes that they name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::WHO;
use super::acl;
use super::change::BLOCK;
use crate::base::Timestamp;
use crate::volume::ops::XattrMode;

/// The outcome of an operation: the name of the error's variant.
pub(super) type Outcome<T = ()> = Result<T, &'static str>;

const NAME_BYTES_MAX: usize = 255;
/// Stands for the root folder, which has no name.
const ROOT: u64 = 0;

/// Paths without a leading slash, and their nodes by number. The numbers are not compared: two
/// trees are equal when their names are, and name equal nodes in the same groups.
#[derive(Clone, Default)]
pub(in crate::pool::tests) struct Tree {
    names: BTreeMap<String, u64>,
    nodes: BTreeMap<u64, Node>,
}

/// What names name.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) content: Content,
    pub(super) perm: u16,
    /// User and group.
    pub(super) owner: (u32, u32),
    /// ACLs, too, as their raw bytes.
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
    /// Of the last access and the last change of the content, where they were set since the clock
    /// last decided: what the clock said the model does not know.
    pub(super) times: [Option<Timestamp>; 2],
}

impl PartialEq for Node {
    fn eq(&self, other: &Node) -> bool {
        let times = self.times.iter().zip(&other.times);
        let agree = |(one, two): (&Option<Timestamp>, &Option<Timestamp>)| {
            one.is_none() || two.is_none() || one == two
        };
        self.content == other.content
            && self.perm == other.perm
            && self.owner == other.owner
            && self.xattrs == other.xattrs
            && times.into_iter().all(agree)
    }
}

/// What is in a node.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Content {
    Folder,
    File(Arc<Vec<u8>>),
    Link(String),
    /// The kind of a pipe or device, and its number.
    Special(String, u32),
}

impl Node {
    pub(super) fn new(content: Content, perm: u16) -> Node {
        Node {
            content,
            perm,
            owner: (WHO.uid, WHO.gid),
            xattrs: BTreeMap::new(),
            times: [None; 2],
        }
    }

    /// What a folder's default ACL makes of a new node.
    fn inherit(&mut self, default: Vec<u8>) {
        let mut access = default.clone();
        let perm = acl::permissions(&access) & self.perm;
        acl::set_permissions(&mut access, perm);
        self.perm = perm;
        self.xattrs.insert(acl::ACCESS.to_owned(), access);
        if self.is_folder() {
            self.xattrs.insert(acl::DEFAULT.to_owned(), default);
        }
    }

    /// The content changes, at a time that the clock gives.
    fn touch(&mut self) {
        self.times[1] = None;
    }

    pub(super) fn is_folder(&self) -> bool {
        self.content == Content::Folder
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self.content, Content::File(_))
    }
}

impl PartialEq for Tree {
    fn eq(&self, other: &Tree) -> bool {
        let (own, others) = (self.first_names(), other.first_names());
        self.names.len() == other.names.len()
            && self.names.iter().zip(&other.names).all(|(one, two)| {
                one.0 == two.0
                    && own.get(one.1) == others.get(two.1)
                    && self.nodes[one.1] == other.nodes[two.1]
            })
    }
}

/// The folder of a path, and the name in it.
pub(super) fn split(path: &str) -> (Option<&str>, &str) {
    match path.rsplit_once('/') {
        None => (None, path),
        Some((folder, name)) => (Some(folder), name),
    }
}

impl Tree {
    /// Paths and nodes; a folder comes before what is in it.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.names
            .iter()
            .map(|(path, node)| (path, &self.nodes[node]))
    }

    pub(super) fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(self.names.get(path)?)
    }

    /// How many nodes there are, with the root folder.
    pub(super) fn inodes(&self) -> u64 {
        self.nodes.len() as u64 + 1
    }

    /// Gives a name to a node that was found.
    pub(super) fn found(&mut self, path: String, number: u64, node: Node) {
        self.names.insert(path, number);
        self.nodes.insert(number, node);
    }

    /// How many names the node of this path has; of a folder, with those in its subfolders.
    pub(super) fn links(&self, path: &str) -> usize {
        let node = self.names[path];
        if !self.nodes[&node].is_folder() {
            return self.names.values().filter(|other| **other == node).count();
        }
        let is_subfolder =
            |(other, entry): &(&String, &Node)| entry.is_folder() && split(other).0 == Some(path);
        2 + self.entries().filter(is_subfolder).count()
    }

    /// Per node its first name.
    fn first_names(&self) -> BTreeMap<u64, &String> {
        let names = self.names.iter().rev();
        names.map(|(path, node)| (*node, path)).collect()
    }

    fn place(&self, path: &str) -> Outcome {
        let (folder, name) = split(path);
        let is_folder = match folder {
            None => true,
            Some(folder) => self.nodes[&self.find(folder)?].is_folder(),
        };
        match (name.len() > NAME_BYTES_MAX, is_folder) {
            (true, _) => Err("NameTooLong"),
            (_, false) => Err("NotDirectory"),
            _ => Ok(()),
        }
    }

    fn find(&self, path: &str) -> Outcome<u64> {
        self.place(path)?;
        self.names.get(path).copied().ok_or("NotFound")
    }

    /// Whether the path names something.
    pub(super) fn lookup(&self, path: &str) -> Outcome {
        self.find(path).map(|_| ())
    }

    fn vacant(&self, path: &str) -> Outcome {
        self.place(path)?;
        match self.names.contains_key(path) {
            true => Err("Exists"),
            false => Ok(()),
        }
    }

    fn node(&mut self, number: u64) -> &mut Node {
        self.nodes.get_mut(&number).expect("a named node")
    }

    /// The folder of this path gets or loses an entry.
    fn touch_folder(&mut self, path: &str) {
        if let Some(number) = split(path).0.and_then(|folder| self.names.get(folder)) {
            self.node(*number).touch();
        }
    }

    fn drop_name(&mut self, path: &str) {
        self.names.remove(path);
        let (names, nodes) = (&self.names, &mut self.nodes);
        nodes.retain(|number, _| names.values().any(|other| other == number));
    }

    pub(super) fn create(&mut self, path: &str, content: Content, perm: u16) -> Outcome {
        self.vacant(path)?;
        let mut node = Node::new(content, perm);
        if !matches!(node.content, Content::Link(_)) {
            let folder = split(path).0.and_then(|folder| self.get(folder));
            let default = folder.and_then(|folder| folder.xattrs.get(acl::DEFAULT));
            if let Some(default) = default.cloned() {
                node.inherit(default);
            }
        }
        self.add(path, node);
        Ok(())
    }

    fn add(&mut self, path: &str, node: Node) {
        let number = self.nodes.keys().max().unwrap_or(&ROOT) + 1;
        self.found(path.to_owned(), number, node);
        self.touch_folder(path);
    }

    /// The states in which a file comes back that another tree has at this path. One that is not
    /// here comes whole; else its blocks come first, then its end, then its extended attributes,
    /// and the rest of its attributes last.
    pub(super) fn restored(&self, path: &str, from: &Tree) -> Vec<Tree> {
        let wanted = from.nodes[&from.names[path]].clone();
        let Some(number) = self.names.get(path).copied() else {
            let mut whole = self.clone();
            whole.add(path, wanted);
            return vec![whole];
        };
        let (Content::File(old), Content::File(new)) =
            (&self.nodes[&number].content, &wanted.content)
        else {
            panic!("{path} is a file in both");
        };
        let (mut blocks, end) = (new.to_vec(), new.len().next_multiple_of(BLOCK as usize));
        if old.len() > new.len() {
            blocks.resize(end.min(old.len()), 0);
            blocks.extend_from_slice(&old[end.min(old.len())..]);
        }
        let mut node = self.nodes[&number].clone();
        let mut states = Vec::new();
        let mut then = |node: &Node| {
            let mut state = self.clone();
            *state.node(number) = node.clone();
            states.push(state);
        };
        node.touch();
        for content in [Arc::new(blocks), new.clone()] {
            node.content = Content::File(content);
            then(&node);
        }
        node.xattrs.clone_from(&wanted.xattrs);
        then(&node);
        then(&wanted);
        states
    }

    pub(super) fn link(&mut self, from: &str, to: &str) -> Outcome {
        let number = self.find(from)?;
        self.vacant(to)?;
        if self.nodes[&number].is_folder() {
            return Err("NotPermitted");
        }
        self.names.insert(to.to_owned(), number);
        self.touch_folder(to);
        Ok(())
    }

    pub(super) fn unlink(&mut self, path: &str) -> Outcome {
        let number = self.find(path)?;
        if self.nodes[&number].is_folder() {
            return Err("IsDirectory");
        }
        self.drop_name(path);
        self.touch_folder(path);
        Ok(())
    }

    fn is_empty(&self, folder: &str) -> bool {
        !self.names.keys().any(|path| split(path).0 == Some(folder))
    }

    pub(super) fn rmdir(&mut self, path: &str) -> Outcome {
        let number = self.find(path)?;
        if !self.nodes[&number].is_folder() {
            return Err("NotDirectory");
        }
        if !self.is_empty(path) {
            return Err("NotEmpty");
        }
        self.drop_name(path);
        self.touch_folder(path);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Outcome {
        let (source, target) = self.both(from, to)?;
        if target == Some(source) {
            return Ok(());
        }
        let is_folder = self.nodes[&source].is_folder();
        if is_folder && to.starts_with(&format!("{from}/")) {
            return Err("Invalid");
        }
        if let Some(target) = target {
            match (is_folder, self.nodes[&target].is_folder()) {
                (true, false) => return Err("NotDirectory"),
                (false, true) => return Err("IsDirectory"),
                (true, true) if !self.is_empty(to) => return Err("NotEmpty"),
                _ => {}
            }
            self.drop_name(to);
        }
        // Before a folder's name changes.
        self.touch_folder(from);
        self.touch_folder(to);
        let moved = self.take(from);
        self.give(to, moved);
        Ok(())
    }

    pub(super) fn rename_to_new(&mut self, from: &str, to: &str) -> Outcome {
        match self.both(from, to)?.1 {
            Some(_) => Err("Exists"),
            None => self.rename(from, to),
        }
    }

    pub(super) fn rename_away(&mut self, from: &str, to: &str) -> Outcome {
        let (source, target) = self.both(from, to)?;
        self.rename(from, to)?;
        if target != Some(source) {
            let content = Content::Special("CharDevice".to_owned(), 0);
            self.add(from, Node::new(content, 0));
        }
        Ok(())
    }

    pub(super) fn exchange(&mut self, one: &str, two: &str) -> Outcome {
        let (first, second) = self.both(one, two)?;
        let second = second.ok_or("NotFound")?;
        if first == second {
            return Ok(());
        }
        if two.starts_with(&format!("{one}/")) || one.starts_with(&format!("{two}/")) {
            return Err("Invalid");
        }
        self.touch_folder(one);
        self.touch_folder(two);
        let (from_one, from_two) = (self.take(one), self.take(two));
        self.give(two, from_one);
        self.give(one, from_two);
        Ok(())
    }

    /// The nodes of two names, of which the second need not exist.
    fn both(&self, from: &str, to: &str) -> Outcome<(u64, Option<u64>)> {
        for path in [from, to] {
            if let Some(folder) = split(path).0 {
                self.find(folder)?;
            }
        }
        if [from, to]
            .iter()
            .any(|path| split(path).1.len() > NAME_BYTES_MAX)
        {
            return Err("NameTooLong");
        }
        self.place(from)?;
        self.place(to)?;
        Ok((self.find(from)?, self.names.get(to).copied()))
    }

    /// Takes the names of a path and of what is below away, as ends behind the path.
    fn take(&mut self, path: &str) -> Vec<(String, u64)> {
        let below = format!("{path}/");
        let is_part = |name: &String| name == path || name.starts_with(&below);
        let moved: Vec<String> = self
            .names
            .keys()
            .filter(|name| is_part(name))
            .cloned()
            .collect();
        let moved = moved.into_iter();
        moved
            .map(|name| (name[path.len()..].to_owned(), self.names.remove(&name)))
            .filter_map(|(end, number)| Some((end, number?)))
            .collect()
    }

    fn give(&mut self, path: &str, moved: Vec<(String, u64)>) {
        for (end, number) in moved {
            self.names.insert(format!("{path}{end}"), number);
        }
    }

    /// Changes a file's bytes.
    fn edit(&mut self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> Outcome {
        self.check_file(path)?;
        let number = self.find(path)?;
        let node = self.node(number);
        node.touch();
        if let Content::File(data) = &mut node.content {
            change(Arc::make_mut(data));
        }
        Ok(())
    }

    /// Whether it is a file.
    pub(super) fn check_file(&self, path: &str) -> Outcome {
        match self.nodes[&self.find(path)?].content {
            Content::File(_) => Ok(()),
            Content::Folder => Err("IsDirectory"),
            Content::Link(_) | Content::Special(..) => Err("Invalid"),
        }
    }

    /// Makes a file so long, if it is shorter.
    pub(super) fn grow(&mut self, path: &str, len: u64) -> Outcome {
        self.edit(path, |data| data.resize(data.len().max(len as usize), 0))
    }

    pub(super) fn write(&mut self, path: &str, at: u64, new: &[u8]) -> Outcome {
        self.edit(path, |data| {
            let (at, end) = (at as usize, at as usize + new.len());
            data.resize(data.len().max(end), 0);
            data[at..end].copy_from_slice(new);
        })
    }

    pub(super) fn truncate(&mut self, path: &str, len: u64) -> Outcome {
        self.edit(path, |data| data.resize(len as usize, 0))
    }

    /// Zeros in place of a range; `grows`: also beyond the end.
    pub(super) fn zero(&mut self, path: &str, at: u64, len: u64, grows: bool) -> Outcome {
        self.edit(path, |data| {
            let (at, end) = (at as usize, (at + len) as usize);
            let inside = end.min(data.len());
            if at < inside {
                data[at..inside].fill(0);
            }
            if grows && data.len() < end {
                data.resize(end, 0);
            }
        })
    }

    pub(super) fn copy(&mut self, from: (&str, u64), to: (&str, u64), len: u64) -> Outcome {
        let (source, target) = (self.find(from.0)?, self.find(to.0)?);
        let data = match &self.nodes[&source].content {
            Content::File(data) => data.clone(),
            Content::Folder => return Err("IsDirectory"),
            Content::Link(_) | Content::Special(..) => return Err("Invalid"),
        };
        let len = len.min((data.len() as u64).saturating_sub(from.1));
        self.edit(to.0, |_| ())?;
        if len == 0 {
            return Ok(());
        }
        if source == target && from.1 + len > to.1 && to.1 + len > from.1 {
            return Err("Invalid");
        }
        let at = from.1 as usize;
        self.write(to.0, to.1, &data[at..at + len as usize])
    }

    pub(super) fn setxattr(
        &mut self,
        path: &str,
        name: &str,
        value: &[u8],
        mode: XattrMode,
    ) -> Outcome {
        let number = self.find(path)?;
        if name == acl::ACCESS || name == acl::DEFAULT {
            return self.set_acl(number, name, value);
        }
        if !name.starts_with("user.") {
            return Err("Unsupported");
        }
        let xattrs = &mut self.node(number).xattrs;
        match (mode, xattrs.contains_key(name)) {
            (XattrMode::Create, true) => Err("Exists"),
            (XattrMode::Replace, false) => Err("NoAttribute"),
            _ => {
                xattrs.insert(name.to_owned(), value.to_vec());
                Ok(())
            }
        }
    }

    pub(super) fn removexattr(&mut self, path: &str, name: &str) -> Outcome {
        let number = self.find(path)?;
        let removed = self.node(number).xattrs.remove(name);
        match removed {
            None if name != acl::ACCESS && name != acl::DEFAULT => Err("NoAttribute"),
            _ => Ok(()),
        }
    }

    /// An access ACL gives the permission bits.
    fn set_acl(&mut self, number: u64, name: &str, value: &[u8]) -> Outcome {
        let node = self.node(number);
        match (name == acl::ACCESS, node.is_folder()) {
            (true, _) => node.perm = acl::permissions(value),
            (false, false) => return Err("PermissionDenied"),
            (false, true) => {}
        }
        node.xattrs.insert(name.to_owned(), value.to_vec());
        Ok(())
    }

    pub(super) fn chmod(&mut self, path: &str, perm: u16) -> Outcome {
        let number = self.find(path)?;
        let node = self.node(number);
        node.perm = perm;
        if let Some(access) = node.xattrs.get_mut(acl::ACCESS) {
            acl::set_permissions(access, perm);
        }
        Ok(())
    }

    pub(super) fn chown(&mut self, path: &str, owner: (u32, u32)) -> Outcome {
        let number = self.find(path)?;
        self.node(number).owner = owner;
        Ok(())
    }

    pub(super) fn set_times(&mut self, path: &str, atime: Timestamp, mtime: Timestamp) -> Outcome {
        let number = self.find(path)?;
        self.node(number).times = [Some(atime), Some(mtime)];
        Ok(())
    }
}

/// For people: what is missing, too much, or different, and where.
pub(super) fn differences(wanted: Option<&Tree>, found: Option<&Tree>) -> String {
    let (wanted, found) = match (wanted, found) {
        (None, None) => return "nothing".to_owned(),
        (None, Some(_)) => return "exists".to_owned(),
        (Some(_), None) => return "does not exist".to_owned(),
        (Some(wanted), Some(found)) => (wanted, found),
    };
    let mut text = Vec::new();
    for (path, node) in wanted.entries() {
        match found.get(path) {
            None => text.push(format!("-{path}")),
            Some(other) if other != node => {
                text.push(format!("{path} {}", difference(node, other)))
            }
            Some(_) => {}
        }
    }
    let more = found
        .entries()
        .filter(|(path, _)| wanted.get(path).is_none());
    text.extend(more.map(|(path, _)| format!("+{path}")));
    if text.is_empty() && wanted != found {
        text.push("other names share nodes".to_owned());
    }
    text.join(" ")
}

fn difference(wanted: &Node, found: &Node) -> String {
    match (&wanted.content, &found.content) {
        (Content::File(a), Content::File(b)) if a != b => {
            let at = a.iter().zip(b.iter()).position(|(a, b)| a != b);
            let at = at.unwrap_or(a.len().min(b.len()));
            format!("({} -> {} bytes, from {at})", a.len(), b.len())
        }
        (a, b) if a != b => "(another kind or target)".to_owned(),
        _ => format!(
            "(mode {:o} -> {:o}, owner {:?} -> {:?}, times {:?} -> {:?}, or attributes)",
            wanted.perm, found.perm, wanted.owner, found.owner, wanted.times, found.times
        ),
    }
}
