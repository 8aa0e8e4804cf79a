//! The cheapest assignment of one run of requests to places with room, racks capped: successive shortest paths.

use std::collections::VecDeque;

/// A network request class → place class → rack → sink.
pub(crate) struct Flow {
    edges: Vec<Edge>,
    out: Vec<Vec<usize>>,
    sink: usize,
}

#[derive(Clone, Copy)]
struct Edge {
    to: usize,
    room: u64,
    cost: i128,
}

impl Flow {
    pub(crate) fn new(nodes: usize, sink: usize) -> Self {
        Flow { edges: vec![], out: vec![vec![]; nodes], sink }
    }

    /// Adds an edge and returns its number, for [`Flow::used`].
    pub(crate) fn edge(&mut self, from: usize, to: usize, room: u64, cost: i128) -> usize {
        let number = self.edges.len();
        self.edges.push(Edge { to, room, cost });
        self.edges.push(Edge { to: from, room: 0, cost: -cost });
        self.out[from].push(number);
        self.out[to].push(number + 1);
        number
    }

    /// Sends one more unit from `source` to the sink along the cheapest path, moving earlier units where that pays.
    /// False when there is no path; then there will be none later either.
    ///
    /// Units already sent stay sent, so the order of calls is the order of service; and after each call the whole costs
    /// the least that is possible for the units sent so far.
    pub(crate) fn send(&mut self, source: usize) -> bool {
        let Some(path) = self.cheapest_path(source) else { return false };
        for edge in path {
            self.edges[edge].room -= 1;
            self.edges[edge ^ 1].room += 1;
        }
        true
    }

    /// Units on an edge.
    pub(crate) fn used(&self, edge: usize) -> u64 {
        self.edges[edge ^ 1].room
    }

    /// Bellman and Ford's with a queue: costs of edges back are negative, but there is never a negative circle.
    fn cheapest_path(&self, source: usize) -> Option<Vec<usize>> {
        let mut best: Vec<Option<i128>> = vec![None; self.out.len()];
        let mut came_by: Vec<usize> = vec![usize::MAX; self.out.len()];
        let mut queued = vec![false; self.out.len()];
        let mut queue = VecDeque::from([source]);
        best[source] = Some(0);
        while let Some(node) = queue.pop_front() {
            queued[node] = false;
            let Some(here) = best[node] else { continue };
            for &number in &self.out[node] {
                let edge = self.edges[number];
                let there = here + edge.cost;
                if edge.room > 0 && best[edge.to].is_none_or(|known| there < known) {
                    best[edge.to] = Some(there);
                    came_by[edge.to] = number;
                    if !std::mem::replace(&mut queued[edge.to], true) {
                        queue.push_back(edge.to);
                    }
                }
            }
        }
        best[self.sink]?;
        let mut path = vec![];
        let mut node = self.sink;
        while node != source {
            path.push(came_by[node]);
            node = self.edges[came_by[node] ^ 1].to;
        }
        Some(path)
    }
}
