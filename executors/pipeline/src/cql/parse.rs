//! Reads a CQL type from its text, as `system_schema.columns.type` has it.

use super::{CqlType, Udts};

/// Deepest nesting of types that is read: far beyond real schemas, well within the stack.
const MAX_DEPTH: usize = 32;

/// A type text that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the CQL type `{text}`: {reason}")]
pub struct ParseTypeError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl CqlType {
    /// Reads a type as `system_schema.columns.type` writes it. Names that are not native types are looked up in `udts`.
    pub fn parse(text: &str, udts: &Udts) -> Result<CqlType, ParseTypeError> {
        parse_at_depth(text, udts, 0).map_err(|reason| ParseTypeError { text: text.to_owned(), reason })
    }
}

fn parse_at_depth(text: &str, udts: &Udts, depth: usize) -> Result<CqlType, String> {
    let mut parser = Parser { rest: text.trim(), udts, depth };
    let parsed = parser.ty()?;
    match parser.rest {
        "" => Ok(parsed),
        rest => Err(format!("unexpected `{rest}`")),
    }
}

struct Parser<'a> {
    rest: &'a str,
    udts: &'a Udts,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn ty(&mut self) -> Result<CqlType, String> {
        if self.depth >= MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.depth += 1;
        let parsed = self.ty_inner();
        self.depth -= 1;
        parsed
    }

    fn ty_inner(&mut self) -> Result<CqlType, String> {
        if self.rest.starts_with('\'') {
            return Ok(CqlType::Custom(self.quoted('\'')?));
        }
        if self.rest.starts_with('"') {
            let name = self.quoted('"')?;
            return self.udt(&name);
        }
        let word = self.word()?;
        let name = word.to_ascii_lowercase();
        if let Some(native) = native(&name) {
            return Ok(native);
        }
        if !self.eat('<') {
            return self.udt(&name);
        }
        let parsed = match name.as_str() {
            "frozen" => CqlType::Frozen(Box::new(self.ty()?)),
            "list" => CqlType::List(Box::new(self.ty()?)),
            "set" => CqlType::Set(Box::new(self.ty()?)),
            "map" => {
                let key = self.ty()?;
                self.expect(',')?;
                CqlType::Map(Box::new(key), Box::new(self.ty()?))
            }
            "tuple" => {
                let mut items = vec![self.ty()?];
                while self.eat(',') {
                    items.push(self.ty()?);
                }
                CqlType::Tuple(items)
            }
            "vector" => {
                let item = self.ty()?;
                self.expect(',')?;
                let dimension = self.word()?.parse().map_err(|_| "a vector needs a dimension".to_owned())?;
                CqlType::Vector(Box::new(item), dimension)
            }
            _ => return Err(format!("`{word}` takes no type parameters")),
        };
        self.expect('>')?;
        Ok(parsed)
    }

    fn udt(&self, name: &str) -> Result<CqlType, String> {
        let fields = self
            .udts
            .types
            .get(name)
            .ok_or_else(|| format!("keyspace `{}` has no type `{name}`", self.udts.keyspace))?
            .iter()
            .map(|(field, ty)| Ok((field.clone(), parse_at_depth(ty, self.udts, self.depth)?)))
            .collect::<Result<_, String>>()?;
        Ok(CqlType::Udt { keyspace: self.udts.keyspace.clone(), name: name.to_owned(), fields })
    }

    fn word(&mut self) -> Result<&'a str, String> {
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        if end == 0 {
            return Err("a type name is missing".to_owned());
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        Ok(word)
    }

    /// A quoted name; the quote itself is written twice inside.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut name = String::new();
        let mut chars = self.rest.char_indices().skip(1).peekable();
        while let Some((i, c)) = chars.next() {
            if c != quote {
                name.push(c);
            } else if chars.next_if(|&(_, next)| next == quote).is_some() {
                name.push(quote);
            } else {
                self.rest = self.rest[i + 1..].trim_start();
                return Ok(name);
            }
        }
        Err(format!("a closing {quote} is missing"))
    }

    fn eat(&mut self, token: char) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: char) -> Result<(), String> {
        if self.eat(token) { Ok(()) } else { Err(format!("`{token}` is missing before `{}`", self.rest)) }
    }
}

fn native(name: &str) -> Option<CqlType> {
    Some(match name {
        "ascii" => CqlType::Ascii,
        "bigint" => CqlType::Bigint,
        "blob" => CqlType::Blob,
        "boolean" => CqlType::Boolean,
        "counter" => CqlType::Counter,
        "date" => CqlType::Date,
        "decimal" => CqlType::Decimal,
        "double" => CqlType::Double,
        "duration" => CqlType::Duration,
        "float" => CqlType::Float,
        "inet" => CqlType::Inet,
        "int" => CqlType::Int,
        "smallint" => CqlType::Smallint,
        "text" | "varchar" => CqlType::Text,
        "time" => CqlType::Time,
        "timestamp" => CqlType::Timestamp,
        "timeuuid" => CqlType::Timeuuid,
        "tinyint" => CqlType::Tinyint,
        "uuid" => CqlType::Uuid,
        "varint" => CqlType::Varint,
        _ => return None,
    })
}
