//! Blocks: MariaDB's compound statements that are open in the body of a trigger, routine or event: BEGIN, IF, CASE, LOOP, WHILE, REPEAT, FOR.
//!
//! IF and REPEAT are functions too, and FOR has many uses, so what counts is where they stand: these open a block only where a statement may
//! begin. LOOP, WHILE and CASE are reserved and open one wherever they stand.
//!
//! Invariant: nothing is taken for open that MariaDB does not take for open; else the `;` before a second statement would seem to stand inside
//! the first. In doubt a block is closed, and a text is refused at worst.

use crate::token::Kind;

/// Follows the words of one statement, from the word behind CREATE that says what it makes.
#[derive(Debug, Clone)]
pub(super) struct Blocks {
    open: Vec<Block>,
    place: Place,
    parentheses: u32,
    /// The word before was END; which block it closes is told by the next.
    end: bool,
    /// The word before was HANDLER.
    handler: bool,
    /// Behind the word before stands a name or value, so that BEGIN is one.
    before_name: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Begin,
    If,
    Case {
        /// A statement; else an expression, whose THEN and ELSE are followed by values.
        statement: bool,
    },
    /// WHILE or FOR, before its DO.
    Header,
    /// Any of the four loops, between whose beginning and END statements stand.
    Loop,
}

/// What may stand next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Something before the body.
    Before(Before),
    /// A statement.
    Start,
    /// What makes a label of the name that a statement seemed to begin with; else the rest of that statement.
    Named,
    /// The rest of a statement.
    Inside,
    /// Conditions of a handler, then its statement. `name`: a condition's own name.
    Conditions { name: bool },
}

/// The parts of a definition before its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A trigger's name, time and table, up to FOR EACH ROW, of which so many words have come.
    Row(u8),
    /// FOLLOWS or PRECEDES, or the body.
    Order,
    /// The trigger that it follows or precedes.
    Other,
    /// An event's name and schedule, up to DO.
    Schedule,
    /// A routine's name and parameters.
    Parameters,
    /// What the routine returns and is, or the body. `any`: a word that says which type, character set or collation.
    Options { any: bool },
}

impl Blocks {
    /// Of what CREATE makes: `trigger`, `procedure`, `function`, `event`, `package`.
    pub(super) fn of(made: &str) -> Self {
        let is = |other: &str| made.eq_ignore_ascii_case(other);
        let place = match () {
            () if is("trigger") => Place::Before(Before::Row(0)),
            () if is("event") => Place::Before(Before::Schedule),
            () if is("package") => Place::Inside,
            () => Place::Before(Before::Parameters),
        };
        Self { open: Vec::new(), place, parentheses: 0, end: false, handler: false, before_name: true }
    }

    /// Takes a `;`; true if it ends the statement.
    pub(super) fn semicolon(&mut self) -> bool {
        self.settle("");
        self.begin();
        self.open.is_empty()
    }

    /// Takes another symbol.
    pub(super) fn symbol(&mut self, symbol: &str) {
        self.settle("");
        match symbol {
            "(" => self.parentheses += 1,
            ")" => self.parentheses = self.parentheses.saturating_sub(1),
            _ => {}
        }
        self.before_name = !["(", ")", ".", ":"].contains(&symbol);
        self.place = match (self.place, symbol) {
            (Place::Named, ":") => Place::Start,
            (Place::Before(Before::Parameters), ")") if self.parentheses == 0 => {
                Place::Before(Before::Options { any: false })
            }
            (Place::Before(Before::Options { .. }), "(" | ")") => self.place,
            (Place::Before(Before::Options { .. } | Before::Order), _) if self.parentheses == 0 => Place::Inside,
            (Place::Before(_), _) => self.place,
            (Place::Conditions { .. }, ",") => Place::Conditions { name: true },
            _ => Place::Inside,
        };
    }

    /// Takes a string, number or quoted name, or a word behind a dot, which is a name.
    pub(super) fn value(&mut self, kind: Kind) {
        self.settle("");
        self.before_name = false;
        let named = matches!(kind, Kind::Quoted | Kind::Word);
        self.place = match self.place {
            Place::Before(Before::Other) => Place::Start,
            Place::Before(Before::Options { any }) if any || !named || self.parentheses > 0 => {
                Place::Before(Before::Options { any: false })
            }
            Place::Before(Before::Order | Before::Options { .. }) | Place::Start if named => Place::Named,
            Place::Before(before) if before != Before::Order => Place::Before(before),
            Place::Conditions { name } if name || !named => Place::Conditions { name: false },
            _ => Place::Inside,
        };
    }

    /// Takes a word.
    pub(super) fn word(&mut self, word: &str) {
        if self.settle(word) {
            return;
        }
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        let (before_name, handler) = (std::mem::take(&mut self.before_name), std::mem::take(&mut self.handler));
        let begins = self.may_begin();
        match () {
            () if is("end") => (self.end, self.place) = (true, Place::Inside),
            () if is("begin") && (begins || !before_name) => self.open(Block::Begin, Place::Start),
            () if is("case") => self.open(Block::Case { statement: begins }, Place::Inside),
            () if is("while") || is("for") && begins => self.open(Block::Header, Place::Inside),
            () if is("loop") || is("repeat") && begins => self.open(Block::Loop, Place::Start),
            () if is("if") && begins => self.open(Block::If, Place::Inside),
            () if is("then") || is("else") => match self.open.last() {
                Some(Block::If | Block::Case { statement: true }) => self.begin(),
                _ => self.place = Place::Inside,
            },
            () if is("do") && !begins && self.open.last() == Some(&Block::Header) => {
                self.open.pop();
                self.open(Block::Loop, Place::Start);
            }
            () if is("for") && handler => self.place = Place::Conditions { name: true },
            () => self.plain(word),
        }
        self.before_name = BEFORE_NAMES.iter().any(|other| is(other));
    }

    /// A word that neither opens nor closes anything.
    fn plain(&mut self, word: &str) {
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        self.handler = is("handler");
        self.place = match self.place {
            Place::Before(before) => before.behind(word, self.parentheses),
            Place::Start => Place::Named,
            Place::Named | Place::Inside => Place::Inside,
            Place::Conditions { .. } if CONDITIONS.iter().any(|other| is(other)) => Place::Conditions { name: false },
            Place::Conditions { name: true } => Place::Conditions { name: false },
            Place::Conditions { name: false } => Place::Named,
        };
    }

    /// Whether the next word may begin a statement.
    fn may_begin(&self) -> bool {
        match self.place {
            Place::Start | Place::Conditions { .. } | Place::Before(Before::Order) => true,
            Place::Before(Before::Options { any: false }) => self.parentheses == 0,
            Place::Before(_) | Place::Named | Place::Inside => false,
        }
    }

    fn begin(&mut self) {
        self.place = Place::Start;
    }

    fn open(&mut self, block: Block, place: Place) {
        self.open.push(block);
        self.place = place;
    }

    /// Closes what an END before closes, now that the word behind it is known; true if that word belongs to it.
    fn settle(&mut self, behind: &str) -> bool {
        if !std::mem::take(&mut self.end) {
            return false;
        }
        let is = |other: &str| behind.eq_ignore_ascii_case(other);
        let is_loop = ["loop", "while", "repeat", "for"].iter().any(|other| is(other));
        let named = is_loop || is("if") || is("case");
        match self.open.last() {
            Some(Block::If) if is("if") => drop(self.open.pop()),
            Some(Block::Case { .. }) if is("case") => drop(self.open.pop()),
            Some(Block::Loop | Block::Header) if is_loop => drop(self.open.pop()),
            // Of a block whose beginning was not seen: nothing that is counted.
            _ if named => {}
            // Of the innermost BEGIN or CASE, or a name.
            _ => while !matches!(self.open.pop(), None | Some(Block::Begin | Block::Case { .. })) {},
        }
        named
    }
}

impl Before {
    /// What may stand behind a word before the body.
    fn behind(self, word: &str, parentheses: u32) -> Place {
        let is = |other: &str| word.eq_ignore_ascii_case(other);
        Place::Before(match self {
            Self::Row(_) if is("for") => Self::Row(1),
            Self::Row(1) if is("each") => Self::Row(2),
            Self::Row(2) if is("row") => Self::Order,
            Self::Row(_) => Self::Row(0),
            Self::Order if is("follows") || is("precedes") => Self::Other,
            Self::Order => return Place::Named,
            Self::Other => return Place::Start,
            Self::Schedule if is("do") => return Place::Start,
            Self::Schedule | Self::Parameters => self,
            Self::Options { .. } if parentheses > 0 => self,
            Self::Options { .. } if ["returns", "charset", "collate"].iter().any(|other| is(other)) => {
                Self::Options { any: true }
            }
            Self::Options { any } if any || OPTIONS.iter().any(|other| is(other)) => Self::Options { any: false },
            Self::Options { .. } => return Place::Named,
        })
    }
}

/// What a routine may be, and what may stand behind the first word of a type.
const OPTIONS: &[&str] = &[
    "language",
    "sql",
    "not",
    "deterministic",
    "contains",
    "no",
    "reads",
    "modifies",
    "data",
    "security",
    "definer",
    "invoker",
    "comment",
    "unsigned",
    "signed",
    "zerofill",
    "precision",
    "varying",
    "binary",
];

/// Conditions that a handler may have, beside numbers, strings and names.
const CONDITIONS: &[&str] = &["sqlstate", "value", "sqlwarning", "not", "found", "sqlexception"];

/// Words behind which MariaDB takes `begin` for a name.
const BEFORE_NAMES: &[&str] = &[
    "exists", "on", "from", "into", "update", "table", "follows", "precedes", "set", "select", "and", "or", "not",
    "where", "by", "as", "declare", "join", "limit", "fetch", "open", "close", "call", "iterate", "leave", "before",
    "after", "insert", "delete", "in", "return",
];
