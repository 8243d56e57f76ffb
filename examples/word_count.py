#!/usr/bin/env python3
"""Counts the words of a text: word_count.py FILE [--top N]. Prints the most frequent, writes all to counts.csv."""
import argparse
import collections
import re

parser = argparse.ArgumentParser()
parser.add_argument("file")
parser.add_argument("--top", type=int, default=10)
options = parser.parse_args()

with open(options.file, encoding="utf-8") as text:
    words = collections.Counter(re.findall(r"[^\W\d_]+", text.read().lower()))

for word, count in words.most_common(options.top):
    print(f"{count:7} {word}")
with open("counts.csv", "w", encoding="utf-8") as table:
    table.writelines(f"{word},{count}\n" for word, count in words.most_common())
