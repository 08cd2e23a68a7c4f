import { ScriptedCalls } from "@uvm-shim/lifecycle/testing";
import { describe, expect, it } from "vitest";
import { ownNamespaces } from "./own-namespaces.ts";

const { signal } = new AbortController();

function bench(script = new ScriptedCalls()) {
  const run = (name: string, id: string) => script.run(name, id, undefined, () => {});
  const networks = {
    createNamespace: () => script.run("create", "", undefined, () => ({ ID: "n1" }) as never),
    addNamespaceEndpoint: (id: string, endpoint: string) => run("add", `${id} ${endpoint}`),
    deleteNamespace: (id: string) => run("delete", id),
  };
  const podNetwork = {
    prepare: (network: object) => run("prepare", JSON.stringify(network)),
    teardown: () => run("tear down", ""),
  };
  return { script, namespaces: ownNamespaces(networks, podNetwork) };
}

describe("a namespace for a container's own endpoints", () => {
  it("is made of them, and given to the VM", async () => {
    const { namespaces, script } = bench();
    expect(await namespaces.create(["e1", "e2"], signal)).toBe("n1");
    expect(script.names).toEqual(["create", "add", "add", "prepare"]);
    await namespaces.remove("n1", signal);
    expect(script.names.slice(4)).toEqual(["tear down", "delete"]);
  });

  it.each([1, 2])("is deleted when call %i after it fails", async (failing) => {
    const { namespaces, script } = bench(new ScriptedCalls(new Map([[failing, "fail"]])));
    await expect(namespaces.create(["e1"], signal)).rejects.toMatchObject({ code: "Unavailable" });
    expect(script.names.at(-1)).toBe("delete");
  });
});
