// Times, counts and sizes as text. Pure functions; must never touch the document.

const STEPS = [
	[60, 1, 's'],
	[3600, 60, 'min'],
	[86400, 3600, 'h'],
	[86400 * 60, 86400, 'd'],
	[86400 * 730, 86400 * 30.44, 'mo'],
	[Infinity, 86400 * 365.25, 'y'],
];

// A duration in one unit: `5 min`, `3 d`.
export function span(seconds) {
	const [, unit, word] = STEPS.find(([end]) => seconds < end);
	return `${Math.floor(seconds / unit)} ${word}`;
}

// How long ago a time was. Up to a minute in the future counts as now: clocks differ.
export function age(time) {
	const seconds = (Date.now() - Date.parse(time)) / 1000;
	if (seconds < -60) return `in ${span(-seconds)}`;
	return seconds < 5 ? 'just now' : `${span(seconds)} ago`;
}

// Local date and time, to the second.
export function stamp(time) {
	const at = new Date(time);
	return new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 19).replace('T', ' ');
}

export const count = (number) => number.toLocaleString('en');

export const plural = (number, one) => `${count(number)} ${one}${number === 1 ? '' : 's'}`;

// A size in a readable unit: `2.4 MiB`.
export function bytes(number) {
	const step = Math.min(4, Math.floor(Math.log2(number || 1) / 10));
	const scaled = number / 1024 ** step;
	const digits = step > 0 && scaled < 100 ? 1 : 0;
	return `${scaled.toFixed(digits)} ${['bytes', 'KiB', 'MiB', 'GiB', 'TiB'][step]}`;
}

const ASSIGNMENT = /^\s*(export\s+)?[A-Za-z_][\w.-]*\s*=/;

// Counts the lines of a text that look like lines of a `.env` file; 0 if fewer than `least`.
export function envLines(text, least) {
	const lines = text.split(/[\r\n]+/).filter((line) => ASSIGNMENT.test(line)).length;
	return lines < least ? 0 : lines;
}
