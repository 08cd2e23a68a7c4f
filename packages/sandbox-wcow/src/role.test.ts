import { describe, expect, it } from "vitest";
import { sandboxRole } from "./index.ts";

const type = "io.kubernetes.cri.container-type";
const id = "io.kubernetes.cri.sandbox-id";

describe("the role of a request", () => {
  it.each([
    [{}, "task"],
    [{ [id]: "" }, "task"],
    [{ [type]: "sandbox", [id]: "pod" }, "pod"],
  ])("with annotations %j is %s", (annotations, role) => {
    expect(sandboxRole(annotations, "pod")).toBe(role);
  });

  it.each([
    [{ [id]: "pod" }, `${id}: got "pod", expected none without ${type}`],
    [{ [type]: "sandbox" }, `${id}: got "", expected "pod", the id of the request`],
    [{ [type]: "sandbox", [id]: "other" }, `${id}: got "other", expected "pod"`],
    [{ [type]: "container", [id]: "pod" }, `${type}: got "container", expected sandbox`],
    [{ [type]: "Sandbox", [id]: "pod" }, `${type}: got "Sandbox", expected sandbox`],
    [{ [type]: "", [id]: "pod" }, `${type}: got "", expected sandbox`],
  ])("with annotations %j is refused", (annotations, message) => {
    expect(() => sandboxRole(annotations, "pod")).toThrow(message);
    expect(() => sandboxRole(annotations, "pod")).toThrow(expect.objectContaining({ code: "InvalidArgument" }));
  });
});
