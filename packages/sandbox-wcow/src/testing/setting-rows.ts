/** Rows of settings of Windows sandboxes. */
import { RowKinds, type SettingRows as Rows } from "@uvm-shim/sandbox-common/testing";
import type { build } from "./sandbox.ts";

export type Built = ReturnType<typeof build>;
export type More = NonNullable<Parameters<typeof build>[1]>;
export type SettingRows = Rows<Built, More>;

export const kinds = new RowKinds<Built, More>();
