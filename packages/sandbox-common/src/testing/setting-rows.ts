/** Tables of settings: what each value does, or why it is refused. */

/** Annotations by key. */
export interface Annotations {
  readonly [key: string]: string;
}

/** The expectation that a value is refused, with this text in the error. */
export class Refused {
  readonly message: string;
  readonly code: string;

  constructor(message: string, code = "InvalidArgument") {
    this.message = message;
    this.code = code;
  }
}

/** That a value is refused; as an invalid argument unless another code is given. */
export const refused = (message: string, code?: string): Refused => new Refused(message, code);

/** The text of a value, and what `effect` returns then. */
export type Row = readonly [text: string, expected: unknown];

/** Of a setting of sandboxes as `Built`; `More` is what else a request has. */
export interface SettingRows<Built, More> {
  /** Other annotations that it depends on. */
  readonly given?: Annotations;
  readonly more?: More;
  readonly effect: (built: Built) => unknown;
  /** What `effect` returns without the annotation. */
  readonly default: unknown;
  readonly valid: readonly Row[];
  readonly boundary: readonly Row[];
  readonly invalid: readonly Row[];
}

type Surroundings<More> = Pick<SettingRows<never, More>, "given" | "more">;

const words = refused("expected one of 1 t T TRUE true True 0 f F FALSE false False");

/** What a flag does where it has no value of its own. */
export const onOff = { on: true, off: false };

/** Malformed lists of numbers. */
export function noNumbers(most: number): readonly Row[] {
  const range = refused(`expected whole numbers from 0 to ${most} separated by commas`);
  return ["1,", ",", "1;2", "1, 2", "-1", "1,x", `1,${most + 1}`].map((list): Row => [list, range]);
}

/** Rows of usual kinds, for sandboxes with warnings and a document. */
export class RowKinds<Built extends { readonly warnings: unknown; readonly document: unknown }, More> {
  flag(
    effect: SettingRows<Built, More>["effect"],
    { on, off, byDefault = off, ...more }: Surroundings<More> & { on?: unknown; off?: unknown; byDefault?: unknown } = {
      on: true,
      off: false,
    },
  ): SettingRows<Built, More> {
    return {
      ...more,
      effect,
      default: byDefault,
      valid: [
        ["true", on],
        ["false", off],
      ],
      boundary: [
        ["1", on],
        ["F", off],
        ["", words],
        ["tRUE", words],
      ],
      invalid: [
        ["yes", words],
        ["2", words],
      ],
    };
  }

  /** A number from 0, which counts as absent. */
  number(
    effect: SettingRows<Built, More>["effect"],
    {
      most,
      sign = false,
      byDefault,
      find = (value) => value,
      ...more
    }: Surroundings<More> & {
      readonly most: number;
      /** Whether it may be written with one. */
      readonly sign?: boolean;
      readonly byDefault?: unknown;
      readonly find?: (value: number) => unknown;
    },
  ): SettingRows<Built, More> {
    const range = refused(`expected a whole number from 0 to ${most}`);
    return {
      ...more,
      effect,
      default: byDefault,
      valid: [["512", find(512)]],
      boundary: [
        ["0", byDefault],
        ["1", find(1)],
        [String(most), find(most)],
        [String(most + 1), range],
        ["18446744073709551615", range],
        ["+1", sign ? find(1) : range],
        ["-0", sign ? byDefault : range],
      ],
      invalid: ["-1", "1.5", "1e3", "0x10", " 1", "many", ""].map((text): Row => [text, range]),
    };
  }

  /** Any text without control characters; the empty text counts as absent unless `empty` is set. */
  text(
    effect: SettingRows<Built, More>["effect"],
    {
      valid,
      byDefault,
      empty = byDefault,
      ...more
    }: Surroundings<More> & { readonly valid: Row; readonly byDefault?: unknown; readonly empty?: unknown },
  ): SettingRows<Built, More> {
    const unreadable = refused("expected text without control characters");
    return {
      ...more,
      effect,
      default: byDefault,
      valid: [valid],
      boundary: [["", empty]],
      invalid: [
        ["a\nb", unreadable],
        ["\0", unreadable],
        ["\u007f", unreadable],
      ],
    };
  }

  /** The name of a file without a folder; the empty text counts as absent unless `empty` is set. */
  fileName(
    effect: SettingRows<Built, More>["effect"],
    {
      valid,
      byDefault,
      empty = byDefault,
      ...more
    }: Surroundings<More> & { readonly valid: Row; readonly byDefault: unknown; readonly empty?: unknown },
  ): SettingRows<Built, More> {
    const path = refused("expected the name of a file, without a folder");
    return {
      ...more,
      effect,
      default: byDefault,
      valid: [valid],
      boundary: [["", empty]],
      invalid: ["..", ".", "a/b", "a\\b", "C:a", "/a"].map((name): Row => [name, path]),
    };
  }

  /** Known annotations without effect on these guests, which log this warning. */
  withoutEffect(warning: string): SettingRows<Built, More> {
    const warnings = [warning];
    return {
      effect: (built) => built.warnings,
      default: [],
      valid: [["1", warnings]],
      boundary: [["", warnings]],
      invalid: [["?", warnings]],
    };
  }

  unsupported(document: unknown): SettingRows<Built, More> {
    const no = refused("expected nothing: this annotation is not supported", "Unimplemented");
    return {
      effect: (built) => built.document,
      default: document,
      valid: [["", document]],
      boundary: [
        ["0", no],
        [" ", no],
      ],
      invalid: [["false", no]],
    };
  }
}
