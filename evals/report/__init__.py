"""One page that says what runs amount to: what is computed of choices and cases, drawn, and written as HTML."""
