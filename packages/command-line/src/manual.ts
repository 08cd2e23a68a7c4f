/** What a person may write on a program's command line, as data: help, man page and completions are made of it. */
export interface ProgramManual {
  readonly name: string;
  /** One line without a full stop, as in a man page's NAME. */
  readonly summary: string;
  /** Usage lines, without the program's name. */
  readonly synopsis: readonly string[];
  /** Paragraphs; the first says who usually starts the program. */
  readonly description: readonly string[];
  /** Of the man page: 1 for everybody's programs, 8 for those of administrators, which is the default. */
  readonly section?: 1 | 8;
  /** How options are written: as Go's flags, or as GNU's. */
  readonly dash: "-" | "--";
  /** Those that the program has whatever its command. */
  readonly options: readonly OptionManual[];
  readonly commands: readonly CommandManual[];
  readonly examples: readonly ExampleManual[];
  readonly exitCodes: readonly { readonly code: number | string; readonly meaning: string }[];
  readonly environment?: readonly VariableManual[];
  readonly files?: readonly { readonly path: string; readonly meaning: string }[];
  readonly seeAlso?: readonly string[];
}

/** An option of a program or of one of its commands: a switch, or one that takes a value. */
export interface OptionManual {
  /** Without dashes. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** The placeholder of its value, such as FILE; a switch has none. */
  readonly value?: string;
  readonly meaning: string;
  /** In the man page, but not in the help. */
  readonly hidden?: true;
}

/** An environment variable that a program reads. */
export interface VariableManual {
  readonly name: string;
  /** The placeholder of its value. */
  readonly value?: string;
  readonly meaning: string;
  /** What holds without it, in words. */
  readonly standard?: string;
}

/** One of the commands of a program that has several; each has a part of its own in the help and the man page. */
export interface CommandManual {
  readonly name: string;
  /** What follows the command's name. */
  readonly synopsis: string;
  readonly summary: string;
  readonly description?: readonly string[];
  readonly options?: readonly OptionManual[];
  readonly arguments?: readonly ArgumentManual[];
  readonly examples?: readonly ExampleManual[];
}

/** An argument that is not an option, known by its place. */
export interface ArgumentManual {
  readonly name: string;
  readonly meaning: string;
  /** What a shell offers for it. */
  readonly completes?: "pod" | "file" | "folder";
}

/** A command line to copy, and what it does. */
export interface ExampleManual {
  readonly command: string;
  readonly meaning: string;
}
