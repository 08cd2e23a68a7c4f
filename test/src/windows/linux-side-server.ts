/**
 * What cases that run under Wine learn about the Linux machine outside, over HTTP: `/remember` records what it
 * holds, `/held` answers with a JSON list of what has been added since, and `/left` does the same once the list is empty or
 * time is up. `/lose-service` takes the host away; `/credential-guards` answers with the ids of those that have one.
 */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { compareHoldings, type Holdings } from "../leaks/compare.ts";
import { type HoldingsScope, takeHoldings, waitForNothingLeft } from "../leaks/holdings.ts";

const NOTHING_LEFT_MS = 10_000;

export interface LinuxSideOptions {
  readonly scope: HoldingsScope;
  readonly host: { loseService(): Promise<void>; credentialGuards(): Promise<readonly string[]> };
}

export class LinuxSideServer implements AsyncDisposable {
  readonly #scope: HoldingsScope;
  readonly #host: LinuxSideOptions["host"];
  readonly #server: Server;
  #before: Holdings;

  private constructor({ scope, host }: LinuxSideOptions, before: Holdings) {
    this.#scope = scope;
    this.#host = host;
    this.#before = before;
    this.#server = createServer(async (request, response) => {
      const answer = await this.#answer(request.url).catch(String);
      response.setHeader("connection", "close").end(JSON.stringify(answer ?? null));
    });
  }

  static async serve(options: LinuxSideOptions): Promise<LinuxSideServer> {
    const server = new LinuxSideServer(options, await takeHoldings(options.scope));
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    return server;
  }

  get address(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the server has no port");
    return `http://127.0.0.1:${address.port}`;
  }

  async #answer(url: string | undefined): Promise<unknown> {
    switch (url) {
      case "/remember":
        this.#before = await takeHoldings(this.#scope);
        return undefined;
      case "/held":
        return compareHoldings(this.#before, await takeHoldings(this.#scope));
      case "/lose-service":
        return await this.#host.loseService();
      case "/credential-guards":
        return await this.#host.credentialGuards();
      case "/left":
        return await waitForNothingLeft(this.#before, this.#scope, NOTHING_LEFT_MS);
      default:
        throw new Error(
          `unknown request ${url}: expected /remember, /held, /left, /lose-service or /credential-guards`,
        );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }
}
