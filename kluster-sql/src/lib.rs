//! What may be said.
mod dialect;
mod lexer;
mod limits;
mod literal;
mod refusal;
mod token;
pub use dialect::Dialect;
pub use lexer::{LexError, Lexer};
pub use refusal::{Refusal, RefusalCode};
pub use token::{Kind, Token};
