# shellcheck shell=sh
# The ports that a tunnel listens on. What is on record of them is a promise and nothing to undo.

undo_port() { :; }
undo_auto() { :; }
