import { problemCode } from './answers.js';
import { createCountdown } from './countdown.js';
import { SessileError } from './errors.js';
import { createEvents, type SessileEvents } from './events.js';
import { createGateway, type Answer } from './gateway.js';
import { inScope } from './scope.js';
import { joinTabs, type TabMessage } from './tabs.js';
import { abortable, single, sleep } from './time.js';
import type { AdapterContext, Credentials, Sessile, SessileOptions, Session, SignOutScope } from './types.js';
import { createWaitingRoom } from './waiting-room.js';

const REFRESH_TRIES = 3;
const FIRST_BACKOFF_MS = 250;
/** A longer wait than this is the caller's to decide on. */
const LONGEST_WAIT_MS = 5000;
/** After a renewal that did not help, or without a session, a 401 does not start another one for this long. */
const QUIET_MS = 5000;

export function createSessile(options: SessileOptions = {}): Sessile {
  const { paths = ['/'], trustRedirects = false, hold, endingSoon = 60 } = options;
  const origin = new URL(options.origin ?? location.origin).origin;
  const prefix = `/${(options.prefix ?? 'auth').replace(/^\/+|\/+$/g, '')}`;
  const platformFetch: typeof fetch = (options.fetch ?? globalThis.fetch).bind(globalThis);
  const events = createEvents();
  const context: AdapterContext = {
    origin,
    prefix,
    paths,
    trustRedirects,
    fetch: platformFetch,
    mayCarry: (url) => inScope(url, origin, paths),
    blocked: () => queueMicrotask(() => events.emit('storage-blocked', {})),
    broken: (message) => new SessileError('worker_failed', message),
  };
  const carrier = options.storage?.(context);
  const { ask, prove, canProve } = createGateway(context, carrier);
  const room = createWaitingRoom(hold ?? {});
  const tabs = joinTabs(origin + prefix, hear);
  const countdown = createCountdown(endingSoon * 1000, session, (seconds) => events.emit('ending-soon', { seconds }));

  /** Whether access tokens travel in bodies. An answer that could bring one decides; before that, the adapter. */
  let inBodies = !!carrier;
  let decided = false;
  let known: 'in' | 'out' | undefined;
  /** Who is, or was last, signed in. `null`: nobody when this client began. `undefined`: not known. */
  let subject: string | null | undefined;
  /** Counts sign-ins and ends: an answer to what was asked in an earlier era says nothing of this one. */
  let era = 0;
  /** Counts renewals as well. */
  let epoch = 0;
  let quietUntil = 0;
  /** The server is not to be asked for a renewal before this. */
  let notBefore = 0;
  /** Share of a token's life after which it is renewed beside the request; drawn anew so that tabs do not agree. */
  let ripe = 0.8;
  /** A sign-out that the server has not been told. */
  let owed: SignOutScope | undefined;
  let leaving: Promise<void> | undefined;
  let closed = false;

  const shared = () => !inBodies || carrier!.shared;
  /** Differs whenever a request would now be sent as something else than before. */
  const version = () => `${epoch} ${carrier?.status()?.at}`;
  const tell = (type: TabMessage['type']) => tabs.tell({ type, token: inBodies, subject: subject ?? undefined });

  function hear({ type, token, subject: who }: TabMessage) {
    if (type === 'no-session') {
      if (known !== 'out') look().catch(() => {});
    } else if (type === 'sign-out-owed') {
      owed = 'this';
    } else if (type === 'signed-out') {
      left('elsewhere');
    } else {
      if (carrier) decide(token);
      if (type === 'signed-in') {
        // Ours belongs to a session that this sign-in ended.
        if (!carrier?.shared) carrier?.clear();
        era += 1;
        arrived(who);
      } else if (!inBodies) {
        // A token that tabs share speaks for itself, and may arrive after the news of it.
        epoch += 1;
      }
      events.emit(type, { here: false });
      // This tab slept through a sign-in.
      if (known === 'out') look().catch(() => {});
    }
  }

  function decide(token: boolean) {
    decided = true;
    inBodies = token;
    if (!token) carrier?.clear();
  }

  function arrived(who: string | undefined) {
    known = 'in';
    subject = who;
    epoch += 1;
    quietUntil = notBefore = 0;
    owed = undefined;
    ripe = 0.75 + Math.random() * 0.15;
    if (who !== undefined) room.open(who);
  }

  function left(reason: SessileEvents['signed-out']['reason']) {
    const news = known !== 'out';
    known = 'out';
    era += 1;
    epoch += 1;
    quietUntil = Date.now() + QUIET_MS;
    carrier?.clear();
    countdown.stop();
    if (news) events.emit('signed-out', { reason });
  }

  /** Learns what sign-in, refresh and session answer alike. `absorbed`: the answer would have brought a token. */
  function learn({ session, expires_in: life, date }: Answer, absorbed: boolean): Session {
    if (typeof session?.subject !== 'string') {
      throw new SessileError('unexpected', `There is no session in the answer. Is ${origin}${prefix} the gateway?`, { status: 200 });
    }
    const token = absorbed ? life !== undefined : /^(local-storage|session-storage|memory)$/.test(session.storage);
    if (token && !carrier) {
      throw new SessileError('adapter_missing', `Storage ${session.storage} needs an adapter: createSessile({ storage })`);
    }
    if (absorbed || !token) decide(token);
    else if (!decided) inBodies = token;
    // By the server's clock, which says when it answered.
    countdown.set(Date.parse(session.expires_at) - (Date.parse(date!) || Date.now()));
    return session;
  }

  function open() {
    if (closed) throw new SessileError('closed', 'This client is closed');
  }

  /**
   * A sign-out goes before anything that the session's cookies would make ours; and its answer deletes cookies, which
   * must not be those of the next sign-in.
   */
  async function settle(): Promise<void> {
    open();
    if (leaving ?? owed) await (leaving ?? signOut(owed));
  }

  async function session(): Promise<Session | null> {
    await settle();
    const began = era;
    try {
      const answer = await ask('GET', '/session');
      if (began !== era) return answer.session ?? null;
      const found = learn(answer, false);
      met(found);
      subject = found.subject;
      known = 'in';
      return found;
    } catch (error) {
      if ((error as SessileError).code !== 'no_session') throw error;
      if (began === era) left('no_session');
      return null;
    }
  }

  /** As many ask at once when a session has ended. */
  const look = single(session);

  /** Notices that somebody signed in without this client's knowing. */
  function met(found: Session) {
    const news = known === 'out' || (subject && subject !== found.subject);
    if (news) {
      arrived(found.subject);
      events.emit('signed-in', { here: false, session: found });
    }
    return news;
  }

  /** One at a time in this tab, and one at a time over all tabs. */
  const refresh = single(async () => {
    await settle();
    const before = version();
    await tabs.exclusively(async () => {
      // Unless another tab, or a sign-in, was faster and left a token to use.
      for (let tries = 1; version() === before || (inBodies && !carrier!.status()); tries += 1) {
        const early = Math.ceil((notBefore - Date.now()) / 1000);
        if (early > 0) throw new SessileError('unavailable', `The server asked to wait ${early} s`, { retryAfter: early });
        try {
          return await renewOnce();
        } catch (error) {
          const failure = error as SessileError;
          if (failure.code !== 'unavailable') throw failure;
          const wait = Math.max(FIRST_BACKOFF_MS * 2 ** tries * (0.5 + Math.random()), (failure.retryAfter ?? 0) * 1000);
          if (tries === REFRESH_TRIES || wait > LONGEST_WAIT_MS) {
            notBefore = Date.now() + wait;
            throw failure;
          }
          await sleep(wait);
        }
      }
    }, shared);
  });

  async function renewOnce(): Promise<void> {
    const began = era;
    let answer;
    try {
      answer = await ask('POST', '/refresh', { absorb: true });
    } catch (error) {
      const { code, problem } = error as { code: string; problem?: string };
      if (code !== 'no_session' && problem !== 'storage_without_renewal') throw error;
      // A session whose only proof is its access token cannot be renewed, and yet may live.
      if ((await session()) && !inBodies) return;
      if (began === era) left('no_session');
      tell('no-session');
      throw error;
    }
    if (began !== era) {
      if (known === 'out') throw new SessileError('no_session', 'The session ended while it was renewed');
      return renewOnce(); // Of the session that somebody signed in to meanwhile.
    }
    const found = learn(answer, true);
    const news = met(found);
    if (!news) arrived(found.subject);
    tell('renewed');
    if (!news) events.emit('renewed', { here: true });
  }

  async function signIn({ storage, ...credentials }: Credentials): Promise<Session> {
    await settle();
    return tabs.exclusively(async () => {
      const attempt = (storage: string | undefined) => ask('POST', '/sign-in', { absorb: true, body: { ...credentials, storage } });
      const answer = await attempt(storage ?? carrier?.asks).catch((error) => {
        // The deployment has moved on from what this page was built for: it chooses.
        if (!storage && error.code === 'storage_not_offered') return attempt(undefined);
        throw error;
      });
      const found = learn(answer, true);
      era += 1;
      arrived(found.subject);
      tell('signed-in');
      events.emit('signed-in', { here: true, session: found });
      return found;
    }, shared);
  }

  async function signOut(scope: SignOutScope = 'this'): Promise<void> {
    open();
    // On its way before anybody hears of it, and `keepalive`, because listeners like to leave the page.
    const answer = ask('POST', '/sign-out', { body: { scope }, keepalive: true });
    if (scope === 'others') return void (await answer);
    owed = scope;
    const mine = confirmed(answer).finally(() => {
      if (leaving === mine) leaving = undefined;
    });
    leaving = mine;
    left('sign-out');
    tell('signed-out');
    return mine;
  }

  async function confirmed(answer: Promise<Answer>) {
    try {
      await answer;
    } catch (cause) {
      if ((cause as SessileError).code !== 'no_session') {
        tell('sign-out-owed');
        throw new SessileError(
          'sign_out_unconfirmed',
          'Signed out here, but the server could not be told. Call signOut() again',
          { cause },
        );
      }
    }
    owed = undefined;
  }

  async function guardedFetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
    const request = new Request(input, init);
    // What is not for the gateway, or brings a credential of its own, is none of our business.
    if (!context.mayCarry(request.url) || request.headers.has('authorization')) return platformFetch(request);
    const { signal, method } = request;
    await settle();
    const owner = subject;
    /** Whether requests now go out as somebody else's, where the owner was known. */
    const isAnothers = () => owner && owner !== subject;
    await freshen(signal);
    if (isAnothers()) throw new SessileError('subject_changed', `${request.url} was not asked: somebody else signed in`);

    // A stream can be read once; everything else can be sent again.
    const again = !(init?.body instanceof ReadableStream);
    const send = () => deliver(again ? request.clone() : request);
    const refused = async (response: Response) => response.status === 401 && (await problemCode(response)) === 'no_session';

    const stamp = version();
    let response = await send();
    if (!again) return response;
    if (await canProve(method, response)) response = await send();
    if (!(await refused(response))) return response;

    // The gateway refused and forwarded nothing, so to send it again, by whatever method, does not do it twice.
    if ((await revived(stamp, signal)) && !isAnothers()) {
      response = await send();
      if (!(await refused(response))) return response;
      quietUntil = Date.now() + QUIET_MS;
    }
    await firstLook;
    if (hold && known === 'out' && subject !== undefined && (await room.wait(subject, signal))) {
      await freshen(signal);
      response = await send();
    }
    return response;
  }

  async function deliver(request: Request): Promise<Response> {
    prove(request);
    if (!inBodies) return platformFetch(request);
    const { redirect, url } = request;
    const response = await carrier!.send(request, 'bearer');
    if (redirect === 'follow' && response.type === 'opaqueredirect') {
      throw new SessileError(
        'redirected',
        `${url} redirects, which a token does not follow. Ask for the final address, or set trustRedirects`,
      );
    }
    return response;
  }

  /** Has a token that will last for a request, if there is one to be had. */
  async function freshen(signal: AbortSignal) {
    if (!inBodies) return;
    const status = carrier!.status();
    if (status) known = 'in';
    // Not sent without a token: an answer to nobody in particular is not what somebody signed in asked for.
    else if (known === 'out') return;
    // The clock may have been set; a token from the future is one of unknown age.
    const share = status ? (Date.now() - status.at) / status.life : 1;
    if (share >= 1 || share < 0) await abortable(renewedOrOut(), signal);
    else if (share > ripe) refresh().catch(() => {});
  }

  const renewedOrOut = () =>
    refresh().then(
      () => true,
      (error) => {
        if (error.code === 'no_session') return false;
        throw error;
      },
    );

  /** Whether a request that was refused at `stamp` has a better chance now. */
  async function revived(stamp: string, signal: AbortSignal): Promise<boolean> {
    if (version() !== stamp) return known !== 'out';
    if (Date.now() < quietUntil) return false;
    // Cookies are renewed by the gateway; whether there is a session is all there is to ask.
    if (!inBodies && !(await abortable(look(), signal))) return false;
    return inBodies ? abortable(renewedOrOut(), signal) : true;
  }

  carrier?.status(); // A blocked storage shows now, not at the first request.
  // Whose the requests of this page are must be known before one of them can be held for its owner.
  const firstLook = hold && session().then((found) => found ?? (subject ??= null)).catch(() => {});

  return {
    fetch: guardedFetch,
    signIn,
    signOut,
    refresh,
    session,
    on(event, listener) {
      const off = events.on(event, listener);
      if (event === 'ending-soon') countdown.want();
      return off;
    },
    get keptIn() {
      return inBodies ? carrier!.keptIn : 'cookie';
    },
    close() {
      closed = true;
      tabs.close();
      countdown.stop();
      room.open();
      carrier?.close();
      events.clear();
    },
  };
}
