/**
 * What testhost.dll and the relay say to each other, a line each: `<id>\t<function>\t<argument>...`, answered in any order
 * by `<id>\t<HRESULT>\t<document>`; events are `event\t<object>\t<type>\t<data>`. Texts are base64 of UTF-16, so that
 * they may hold whatever a text of Windows may; an absent one is `-`.
 */
export interface Call {
  readonly id: string;
  readonly name: string;
  readonly texts: readonly (string | undefined)[];
}

const absent = "-";

export function readCall(line: string): Call {
  const [id = "", name = "", ...fields] = line.split("\t");
  return {
    id,
    name,
    texts: fields.map((field) => (field === absent ? undefined : Buffer.from(field, "base64").toString("utf16le"))),
  };
}

export function writeText(text: string | undefined): string {
  return text === undefined ? absent : Buffer.from(text, "utf16le").toString("base64");
}

export function answerLine(id: string, hresult: number, document: string | undefined): string {
  return `${id}\t${hresult >>> 0}\t${writeText(document)}\n`;
}

export function eventLine(object: string, type: number, data: string): string {
  return `event\t${object}\t${type}\t${writeText(data)}\n`;
}
