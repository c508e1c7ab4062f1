// Times, counts and lines as text. Owns no state; touches no document.

const STEPS = [
	[60, 1, 's'],
	[3600, 60, 'min'],
	[86400, 3600, 'h'],
	[86400 * 60, 86400, 'd'],
	[86400 * 730, 86400 * 30.44, 'mo'],
	[Infinity, 86400 * 365.25, 'y'],
];

// How long, in one unit: `5 min`, `3 d`.
export function span(seconds) {
	const [, unit, word] = STEPS.find(([end]) => seconds < end);
	return `${Math.floor(seconds / unit)} ${word}`;
}

// How long ago. A clock that differs from the server's by a little is no future.
export function age(time) {
	const seconds = (Date.now() - Date.parse(time)) / 1000;
	if (seconds < -60) return `in ${span(-seconds)}`;
	return seconds < 5 ? 'just now' : `${span(seconds)} ago`;
}

// Date and time here, to the second.
export function stamp(time) {
	const at = new Date(time);
	return new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 19).replace('T', ' ');
}

export const count = (number) => number.toLocaleString('en');

export const plural = (number, one) => `${count(number)} ${one}${number === 1 ? '' : 's'}`;

// `2.4 MiB`
export function bytes(number) {
	const step = Math.min(4, Math.floor(Math.log2(number || 1) / 10));
	const scaled = number / 1024 ** step;
	return `${step && scaled < 100 ? scaled.toFixed(1) : Math.round(scaled)} ${['bytes', 'KiB', 'MiB', 'GiB', 'TiB'][step]}`;
}

const ASSIGNMENT = /^\s*(export\s+)?[A-Za-z_][\w.-]*\s*=/;

// How many lines of a text look like lines of a `.env` file; 0 if that is fewer than `least`.
export function envLines(text, least) {
	const lines = text.split(/[\r\n]+/).filter((line) => ASSIGNMENT.test(line)).length;
	return lines < least ? 0 : lines;
}
