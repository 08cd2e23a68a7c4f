import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Of letters and digits, which no way of escaping changes, and unlike any word: one for each place. */
export class Canaries {
  readonly #places = new Map<string, string>();

  at(place: string): string {
    const canary = `k7${createHash("sha256").update(place).digest("hex").slice(0, 30)}`;
    this.#places.set(place, canary);
    return canary;
  }

  get places(): readonly string[] {
    return [...this.#places.keys()];
  }

  /** Places whose canary is in the bytes, as it is or in another form. */
  in(bytes: Uint8Array): readonly string[] {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return this.places.filter((place) => formsOf(this.#places.get(place) ?? "").some((form) => buffer.includes(form)));
  }

  /** Places whose canary is in a file below the folder, as `<file>: <place>`. */
  below(folder: string, isLookedAt: (file: string) => boolean): readonly string[] {
    const files = readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name))
      .filter(isLookedAt);
    return files.flatMap((file) => this.in(contentOf(file)).map((place) => `${file}: ${place}`));
  }
}

/** Empty for a file that was removed since it was listed: hosts and shims end meanwhile. */
function contentOf(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Uint8Array();
    throw error;
  }
}

/** In base64 the form depends on how many bytes come before; those at the ends depend on their neighbours and are left. */
function formsOf(canary: string): readonly string[] {
  const encoded = [0, 1, 2].map((before) => {
    const text = Buffer.from(`${"-".repeat(before)}${canary}`)
      .toString("base64")
      .replace(/=+$/, "");
    return text.slice(before === 0 ? 0 : before + 1, -2);
  });
  const hexadecimal = Buffer.from(canary).toString("hex");
  return [canary, hexadecimal, hexadecimal.toUpperCase(), ...encoded];
}
