// Times, counts and `.env` files as text. Owns no state; touches no document.

const STEPS = [
  [60, 1, 's'],
  [3600, 60, 'min'],
  [86400, 3600, 'h'],
  [86400 * 60, 86400, 'd'],
  [86400 * 730, 86400 * 30.44, 'mo'],
  [Infinity, 86400 * 365.25, 'y'],
];

/** How long, in one unit: `5 min`, `3 d`. */
export function span(seconds) {
  const [, unit, word] = STEPS.find(([end]) => seconds < end);
  return `${Math.floor(seconds / unit)} ${word}`;
}

/** How long ago. A clock that differs from the server's by a little is no future. */
export function age(time, now = Date.now()) {
  const seconds = (now - Date.parse(time)) / 1000;
  if (seconds < 5) return seconds < -60 ? `in ${span(-seconds)}` : 'just now';
  return `${span(seconds)} ago`;
}

const two = (number) => String(number).padStart(2, '0');

/** Date and time here, to the second. */
export function stamp(time) {
  const at = new Date(time);
  const date = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join('-');
  return `${date} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

export const count = (number) => number.toLocaleString('en');

export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

/** `2.4 MiB` */
export function bytes(number) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let step = 0;
  while (number >= 1024 && step < 4) {
    number /= 1024;
    step += 1;
  }
  return `${step && number < 100 ? number.toFixed(1) : Math.round(number)} ${units[step]}`;
}

const ASSIGNMENT = /^[ \t]*(?:export[ \t]+)?[A-Za-z_][A-Za-z0-9_.-]*[ \t]*=/;

/** How many lines of a text look like lines of a `.env` file; 0 for fewer than two. */
export function envLines(text) {
  const lines = text.split(/\r\n|\r|\n/).filter((line) => ASSIGNMENT.test(line));
  return lines.length > 1 ? lines.length : 0;
}

const ESCAPES = { n: '\n', r: '\r', t: '\t', '"': '"', '\\': '\\' };

/**
 * Reads a `.env` file by the rules of docs/formats.md, as `coffer import` does:
 * what its readers take differently is a problem, not a guess. A problem names a
 * line and never what stands there. After one, reading goes on with the next line.
 */
export function readEnv(text) {
  const source = text.replace(/^\uFEFF/, '').replace(/\r\n?/g, '\n');
  const entries = [];
  const problems = [];
  const seen = new Map();
  let at = 0;
  const line = (place) => source.slice(0, place).split('\n').length;
  const rest = () => {
    const end = source.indexOf('\n', at);
    return source.slice(at, end < 0 ? source.length : end);
  };
  const skip = () => {
    at += rest().length + 1;
  };
  while (at < source.length) {
    const here = rest();
    if (!here.trim() || here.trim().startsWith('#')) {
      skip();
      continue;
    }
    const start = at;
    const head = /^[ \t]*(?:export[ \t]+)?([^\s=:#'"`]+)[ \t]*=[ \t]*/.exec(here);
    const problem = (what) => {
      problems.push({ line: line(start), what });
      if (at <= start) skip();
      else if (at < source.length && source[at - 1] !== '\n') skip();
    };
    if (!head) {
      problem('there is no KEY=value');
      continue;
    }
    const [, key] = head;
    if (!/^[A-Z][A-Z0-9_]*$/.test(key)) {
      problem('a key is made of capital letters, digits and _, a letter first');
      continue;
    }
    if (key.length > 256) {
      problem('the key is longer than 256 characters');
      continue;
    }
    at += head[0].length;
    const read = value(source, at, /[ \t]$/.test(head[0]));
    at = read.end;
    if (read.problem) {
      problem(read.problem);
      continue;
    }
    if (seen.has(key)) {
      problem(`the key of line ${seen.get(key)} again`);
      continue;
    }
    if (!read.value) {
      problem('the value is empty');
      continue;
    }
    seen.set(key, line(start));
    entries.push({ key, value: read.value });
    if (at < source.length && source[at] === '\n') at += 1;
  }
  return { entries, problems };
}

function value(source, start, afterBlank) {
  const quote = source[start];
  if (quote === '`') return { end: start, problem: 'backquotes around a value' };
  if (quote !== "'" && quote !== '"') return plain(source, start, afterBlank);
  let text = '';
  let at = start + 1;
  for (; at < source.length && source[at] !== quote; at += 1) {
    if (quote === '"' && source[at] === '\\') {
      const escaped = ESCAPES[source[at + 1]];
      if (!escaped) return { end: at, problem: 'a backslash before anything but n r t " \\' };
      text += escaped;
      at += 1;
    } else if (quote === '"' && source.startsWith('${', at)) {
      return { end: at, problem: '${ refers to something else; use single quotes' };
    } else {
      text += source[at];
    }
  }
  if (at >= source.length) return { end: start, problem: 'a quote is not closed' };
  if (quote === "'" && (text.includes('\\\\') || text.endsWith('\\'))) {
    return { end: at, problem: 'in single quotes, two backslashes or one before a quote' };
  }
  const tail = /^[ \t]*(#[^\n]*)?(?=\n|$)/.exec(source.slice(at + 1));
  if (!tail || (tail[1] && !/^[ \t]/.test(tail[0]))) {
    return { end: at, problem: 'something stands behind the closing quote' };
  }
  return { value: text, end: at + 1 + tail[0].length };
}

function plain(source, start, afterBlank) {
  const end = source.indexOf('\n', start) < 0 ? source.length : source.indexOf('\n', start);
  let text = source.slice(start, end);
  const hash = text.indexOf('#');
  if (hash >= 0) {
    if (hash === 0 ? !afterBlank : !/[ \t]/.test(text[hash - 1])) {
      return { end: start, problem: 'a # inside a value without quotes' };
    }
    text = text.slice(0, hash);
  }
  if (text.includes('${')) return { end: start, problem: '${ refers to something else; use single quotes' };
  return { value: text.trim(), end };
}
