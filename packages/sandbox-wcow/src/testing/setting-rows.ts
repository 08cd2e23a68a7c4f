/** Rows of settings of Windows sandboxes. */
import { RowKinds, type SettingRows as Rows } from "@uvm-shim/sandbox-common/testing";
import type { build } from "./sandbox.ts";

/** What rows look into. */
export type Built = ReturnType<typeof build>;
/** What else a row's request has. */
export type More = NonNullable<Parameters<typeof build>[1]>;
/** The rows of one setting of a Windows sandbox. */
export type SettingRows = Rows<Built, More>;

/** Rows of usual kinds. */
export const kinds = new RowKinds<Built, More>();
