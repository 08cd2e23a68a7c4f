import type { WindowsPlanFiles } from "@uvm-shim/controller-container-wcow";
import { windowsPaths } from "@uvm-shim/lifecycle";

/** What of a case says which files there are. */
export interface FilesOfCase {
  /** A name that ends in a backslash is a directory. */
  readonly files?: readonly string[];
  readonly contents?: Readonly<Record<string, string>>;
}

/** The files of a case, and the directories that they are in. */
export class CaseFiles implements WindowsPlanFiles {
  readonly #kinds = new Map<string, "file" | "directory">();
  readonly #texts = new Map<string, string>();

  constructor({ files = [], contents = {} }: FilesOfCase) {
    for (const path of [...files, ...Object.keys(contents)]) this.#add(path);
    for (const [path, text] of Object.entries(contents)) this.#texts.set(windowsPaths.key(path), text);
  }

  async kind(path: string): Promise<"file" | "directory" | undefined> {
    return this.#kinds.get(windowsPaths.key(path));
  }

  async readText(path: string): Promise<string> {
    return this.#texts.get(windowsPaths.key(path)) ?? "";
  }

  #add(path: string): void {
    this.#kinds.set(windowsPaths.key(path), path.endsWith("\\") ? "directory" : "file");
    let { folder, name } = windowsPaths.split(path);
    while (name !== "") {
      this.#kinds.set(windowsPaths.key(folder), "directory");
      ({ folder, name } = windowsPaths.split(folder));
    }
    this.#kinds.set(windowsPaths.key(folder), "directory");
  }
}
