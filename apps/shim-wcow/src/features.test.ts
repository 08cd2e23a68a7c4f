import { expect, it } from "vitest";
import { features } from "./features.ts";

it("-info lists nothing of Linux, and no hooks", () => {
  expect(features).not.toHaveProperty("linux");
  expect(features.hooks).toEqual([]);
  expect(features.mountOptions).toContain("ro");
});
