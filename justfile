# Runs the same checks as continuous integration: each recipe calls one check of .ci/run.
# `just` lists them. just is optional; `.ci/run NAME` does the same.

[private]
default:
    @just --list

# Run every check, as continuous integration does (needs root; half an hour)
ci:
    .ci/run

# Install what the full tests need: age, fuse, strace, a browser, ...
tools:
    .ci/run tools

# Check the formatting of the Rust code
fmt:
    .ci/run fmt

# Check the format of the web console and lint it
console:
    .ci/run console

# Run clippy; warnings are errors
lint:
    .ci/run lint

# Build the API documentation; warnings are errors
doc:
    .ci/run doc

# Check licenses, banned crates, sources, and advisories
deny:
    .ci/run deny

# Run the default tests (minutes)
test:
    .ci/run test

# Run every test at full length
test-full:
    .ci/run test-full

# Paste the commands that a new user pastes
first-use:
    .ci/run first-use

# Compare the running server with its OpenAPI description
schemathesis:
    .ci/run schemathesis

# Run each fuzz target briefly
fuzz:
    .ci/run fuzz

# Run the load program briefly; docs/benchmarks.md says how to measure
bench:
    .ci/run bench
