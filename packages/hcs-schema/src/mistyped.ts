const number = /^[-+]?[0-9]{1,20}([.,:;][0-9]{1,20})*[A-Za-z%]{0,3}$/;
const word = /^([A-Za-z]{1,12}|(linux|windows)\/[a-z0-9]{1,8})$/;
const longestNumbers = 45;
/** Up to this many characters of any kind may be shown: nothing so short can be a secret. */
const harmless = 3;

/**
 * Whether a text looks like a mistyped number, list of numbers or word, which an error may repeat. No other value of a
 * caller is repeated in errors: it may be a secret in the wrong place.
 */
export function isMistyped(text: string): boolean {
  const bare = text.replace(/^ | $|\n$/g, "");
  return bare.length <= harmless || word.test(bare) || (bare.length <= longestNumbers && number.test(bare));
}
