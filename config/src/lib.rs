//! Text to settings, text to policy; faults with line and caret.
