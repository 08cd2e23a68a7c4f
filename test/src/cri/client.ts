/** A client of the Container Runtime Interface, as far as the suite speaks it. */
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { runtime } from "../generated/messages.js";
import { CALL_MS } from "../support/guest-kind.ts";

const { RuntimeService, ImageService } = runtime.v1;

interface Message<T, I> {
  encode(message: I): { finish(): Uint8Array };
  decode(bytes: Uint8Array): T;
}

type Methods = typeof RuntimeService.methods;
type RequestOf<Name extends keyof Methods> = Parameters<Methods[Name]["request"]["encode"]>[0];
type ResponseOf<Name extends keyof Methods> = ReturnType<Methods[Name]["response"]["decode"]>;

export type PodConfig = runtime.v1.PodSandboxConfig.Input;
export type ContainerConfig = runtime.v1.ContainerConfig.Input;

export class CriClient {
  readonly #client: Client;

  constructor(socket: string) {
    this.#client = new Client(`unix://${socket}`, credentials.createInsecure());
  }

  /** Calls a method of the RuntimeService; rejects with gRPC's error. */
  call<Name extends keyof Methods>(
    method: Name,
    request: RequestOf<Name>,
    options: { readonly timeoutMs?: number } = {},
  ): Promise<ResponseOf<Name>> {
    const { request: requestType, response: responseType } = RuntimeService.methods[method];
    return this.#unary(
      `/${RuntimeService.name}/${method}`,
      requestType as Message<unknown, RequestOf<Name>>,
      responseType as unknown as Message<ResponseOf<Name>, unknown>,
      request,
      options.timeoutMs ?? CALL_MS,
    );
  }

  async images(): Promise<readonly string[]> {
    const { request, response } = ImageService.methods.ListImages;
    const { images } = await this.#unary(`/${ImageService.name}/ListImages`, request, response, {}, CALL_MS);
    return images.flatMap(({ repoTags }) => repoTags);
  }

  close(): void {
    this.#client.close();
  }

  #unary<Request, Response>(
    path: string,
    requestType: Message<unknown, Request>,
    responseType: Message<Response, unknown>,
    request: Request,
    timeoutMs: number,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        (message: Request) => Buffer.from(requestType.encode(message).finish()),
        (bytes) => responseType.decode(bytes),
        request,
        new Metadata({ waitForReady: true }),
        { deadline: Date.now() + timeoutMs },
        (error, response) => {
          if (error !== null) reject(error);
          else resolve(response as Response);
        },
      );
    });
  }
}
