import { messageOf } from "@uvm-shim/lifecycle";

/** What a client may learn of a guest's words. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
const unprintable = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\ufeff]/u;
const mostCharacters = 8 * 1024;
const shownCharacters = 120;

/** What is wrong with the text of an error, if anything is. */
export function problemOfError(call: string, error: unknown): string | undefined {
  const text = messageOf(error);
  const shown = JSON.stringify(text.slice(0, shownCharacters));
  if (text.length > mostCharacters) return `${call} failed with ${text.length} characters: ${shown}`;
  if (unprintable.test(text)) return `${call} failed with what is no text: ${shown}`;
  return undefined;
}
