const number = /^[-+]?[0-9]{1,20}([.,:;][0-9]{1,20})*[A-Za-z%]{0,3}$/;
const word = /^([A-Za-z]{1,12}|(linux|windows)\/[a-z0-9]{1,8})$/;
const longestNumbers = 45;
/** Of characters that may be any: a secret of so many is none. */
const harmless = 3;

/**
 * Whether a text is so near to a number, to numbers in a row or to a word that whoever mistyped it has to see it. Nothing
 * else that callers give is repeated in errors: it may be a secret that stands in the wrong place.
 */
export function isMistyped(text: string): boolean {
  const bare = text.replace(/^ | $|\n$/g, "");
  return bare.length <= harmless || word.test(bare) || (bare.length <= longestNumbers && number.test(bare));
}
