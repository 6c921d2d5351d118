"""Receipts as people get them: one document, shown as a page, printed on 80 mm or A4, or written as PDF."""
