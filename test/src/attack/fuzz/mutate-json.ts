/** Makes JSON of other JSON by its structure, so that what comes out is mostly JSON still. */
import { below, mutateBytes, pick, type Random } from "./mutate-bytes.ts";

const names = ["__proto__", "constructor", "$unknowns", "toString", "length", "", "\u212aey", "hasOwnProperty", "then"];
const numbers = [0, -1, 1, 0.5, -0, 2 ** 31, 2 ** 32, 2 ** 53, 1e300, -(2 ** 63), 255, 256, 4096];
const texts = ["", "0", "-1", "1e999", "\u0000", "\ud800", "%", "/../..", "\n", "a,b", "rw", "true"];
const addresses = [
  ...["00000000-0000-0000-0000-000000000000", "10.0.0.1", "fe80::1%1", "::ffff:1.2.3.4", "1.2.3.4/33"],
  ...["00-11-22-33-44-55", "::/0"],
];
const deep = 2_000;
const wide = 2_000;
const longText = 3_000;

/** Large ones are rare, since they take long. */
function odd(random: Random): unknown {
  if (random() < 0.003) return large(random);
  switch (below(random, 16)) {
    case 0:
      return null;
    case 1:
      return random() < 0.5;
    case 2:
    case 3:
      return pick(random, numbers);
    case 4:
    case 5:
      return pick(random, texts);
    case 6:
      return [];
    case 7:
      return {};
    case 8:
      return [odd(random)];
    case 9:
      return { [pick(random, names)]: odd(random) };
    case 10:
      return { length: 1e9 };
    case 11:
      return { low: 1, high: 2, unsigned: true };
    case 12:
      return pick(random, addresses);
    default:
      return below(random, 1000);
  }
}

function large(random: Random): unknown {
  switch (below(random, 5)) {
    case 0:
      return "a".repeat(1 + below(random, longText));
    case 1:
      return nested(below(random, deep));
    case 2:
      return new Array(below(random, wide)).fill(pick<unknown>(random, [null, {}, [], "", 0]));
    case 3:
      return Object.fromEntries(Array.from({ length: below(random, wide) }, (_, index) => [`k${index}`, index]));
    default:
      return JSON.stringify(large(random));
  }
}

function nested(depth: number): unknown {
  let value: unknown = 0;
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { a: value };
  return value;
}

/** The value with one change somewhere in it; what is beside the way there is shared with the given one. */
function changedJson(random: Random, value: unknown): unknown {
  if (typeof value !== "object" || value === null || random() < 0.12) return odd(random);
  if (Array.isArray(value)) {
    const index = below(random, value.length + 1);
    const copy = [...value];
    if (index === value.length) copy.push(value.length > 0 && random() < 0.5 ? pick(random, value) : odd(random));
    else if (random() < 0.15) copy.splice(index, 1);
    else copy[index] = changedJson(random, value[index]);
    return copy;
  }
  const entries = Object.entries(value);
  const choice = random();
  if (entries.length === 0 || choice < 0.12) return fromEntries([...entries, [pick(random, names), odd(random)]]);
  const index = below(random, entries.length);
  const [name, field] = entries[index] as [string, unknown];
  if (choice < 0.22) return fromEntries(entries.filter((_, at) => at !== index));
  if (choice < 0.32) return fromEntries([...entries, [respelled(random, name), odd(random)]]);
  entries[index] = [name, changedJson(random, field)];
  return fromEntries(entries);
}

function respelled(random: Random, name: string): string {
  return [...name].map((letter) => (random() < 0.5 ? letter.toUpperCase() : letter.toLowerCase())).join("");
}

/** `__proto__` is a name like any other in JSON. */
function fromEntries(entries: readonly (readonly [string, unknown])[]): object {
  return Object.fromEntries(entries);
}

const mostChanges = 4;

export function mutateJson(random: Random, pool: readonly object[]): Buffer {
  let value: unknown = pick(random, pool);
  const changes = 1 + Math.floor(random() ** 2 * mostChanges);
  for (let change = 0; change < changes; change += 1) value = changedJson(random, value);
  const text = Buffer.from(JSON.stringify(value) ?? "null");
  return random() < 0.1 ? mutateBytes(random, [text]) : text;
}
