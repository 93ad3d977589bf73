//! Just enough JSON to find a message: bounded, without allocation, and never deeper than asked.
//!
//! Not a validator: what follows the part that is looked for is not read.

/// Deepest nesting that is skipped over.
const DEEPEST: u32 = 64;

/// What is left of a document.
#[derive(Clone)]
pub(crate) struct Json<'a>(&'a [u8]);

/// A value that stands alone.
pub(crate) enum Value<'a> {
    /// An array, an object, `true`, `false` or `null`, which was skipped.
    Other,
    /// A number, as it is written.
    Number(&'a str),
    /// A string, with its escapes.
    Text(&'a str),
}

impl<'a> Json<'a> {
    pub(crate) const fn new(document: &'a [u8]) -> Self {
        Self(document)
    }

    /// The first byte of the next value.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.0 = self.0.trim_ascii_start();
        self.0.first().copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.0 = self.0.get(1..).unwrap_or_default())
    }

    /// Calls `each` at the value of every member; it must read that value.
    ///
    /// `None` where the document breaks off; what was found before stays found.
    pub(crate) fn members(
        &mut self,
        each: &mut dyn FnMut(&'a str, &mut Self) -> Option<()>,
    ) -> Option<()> {
        self.eat(b'{')?;
        if self.eat(b'}').is_some() {
            return Some(());
        }
        loop {
            let name = self.text()?;
            self.eat(b':')?;
            each(name, self)?;
            if self.eat(b',').is_none() {
                return self.eat(b'}');
            }
        }
    }

    /// Calls `each` at every element of an array, or at a value that stands for an array of one.
    pub(crate) fn elements(&mut self, each: &mut dyn FnMut(&mut Self) -> Option<()>) -> Option<()> {
        if self.peek()? != b'[' {
            return each(self);
        }
        self.eat(b'[')?;
        if self.eat(b']').is_some() {
            return Some(());
        }
        loop {
            each(self)?;
            if self.eat(b',').is_none() {
                return self.eat(b']');
            }
        }
    }

    /// Reads the next value.
    pub(crate) fn value(&mut self) -> Option<Value<'a>> {
        match self.peek()? {
            b'"' => self.text().map(Value::Text),
            b'-' | b'0'..=b'9' => Some(Value::Number(self.word())),
            _ => self.skip().map(|()| Value::Other),
        }
    }

    /// A string without its quotes, with its escapes; up to the first wrong byte where it is not UTF-8.
    fn text(&mut self) -> Option<&'a str> {
        self.eat(b'"')?;
        let mut bytes = self.0.iter().enumerate();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    let (text, rest) = self.0.split_at_checked(at)?;
                    self.0 = rest.get(1..)?;
                    return Some(valid(text));
                }
                b'\\' => drop(bytes.next()),
                _ => {}
            }
        }
        // It breaks off: what is there is what there is.
        Some(valid(core::mem::take(&mut self.0)))
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> &'a str {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
        let end = self.0.iter().position(|byte| !is_part(byte)).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        valid(word)
    }

    /// Reads over the next value, however deep it is, without going deeper itself.
    pub(crate) fn skip(&mut self) -> Option<()> {
        let mut depth = 0_u32;
        loop {
            match self.peek()? {
                b'{' | b'[' => {
                    self.0 = self.0.get(1..)?;
                    depth = depth.checked_add(1).filter(|&depth| depth <= DEEPEST)?;
                }
                b'}' | b']' => {
                    self.0 = self.0.get(1..)?;
                    depth = depth.checked_sub(1)?;
                }
                b',' | b':' if depth > 0 => self.0 = self.0.get(1..)?,
                b'"' => drop(self.text()?),
                _ => {
                    if self.word().is_empty() {
                        return None;
                    }
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

/// The text up to the first byte that is not UTF-8.
pub(crate) fn valid(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            core::str::from_utf8(valid).unwrap_or_default()
        }
    }
}
