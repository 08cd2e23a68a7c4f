/**
 * The data of ICU in the runtime: a third of it, for what the agent never does, is to write or sort in hundreds of
 * languages and to read old character sets. Node itself has a build without (small-icu); this makes the same of its
 * usual one.
 */

/** What marks the data: four letters of its header (unicode/udata.h), which begins twelve bytes before. */
const mark = Buffer.from("CmnD");
const markAt = 12;

/** Of the default language, of none, or of all. */
const keptNames =
  /^(?:root|en|en_US|en_US_POSIX|pool|res_index|supplementalData|zoneinfo64|metaZones|timezoneTypes|windowsZones|keyTypeData|likelySubtags|plurals|pluralRanges|numberingSystems|genderList|dayPeriods|icuver|icustd|currencyNumericCodes|grammaticalFeatures|langInfo|units|metadata|tzdbNames)\.res$/;
/** Normalisation, properties and names of characters, rules of sorting; rules of breaking lines, without dictionaries. */
const keptKinds = /\.(?:nrm|icu|cfu|spp|brk)$/;

/** A program with the data of other languages overwritten with zeros, which compress to nothing. Its size is the same. */
export function withoutOtherLanguages(program: Buffer): Buffer {
  const result = Buffer.from(program);
  const start = program.indexOf(mark) - markAt;
  if (start < 0) return result;
  const table = start + program.readUInt16LE(start);
  const count = program.readUInt32LE(table);
  const entry = (index: number): { readonly name: string; readonly at: number } => {
    const [name, at] = [0, 4].map((field) => table + program.readUInt32LE(table + 4 + 8 * index + field)) as [
      number,
      number,
    ];
    return { name: program.toString("latin1", name, program.indexOf(0, name)), at };
  };
  for (let index = 0; index + 1 < count; index += 1) {
    const { name, at } = entry(index);
    const file = name.slice(name.lastIndexOf("/") + 1);
    if (!keptNames.test(file) && !keptKinds.test(file)) result.fill(0, at, entry(index + 1).at);
  }
  return result;
}
