// What a caller's compiler is told, against the declarations in dist/. Each @ts-expect-error is a check that can fail.
import { createSessile, SessileError, type Adapter, type KeptIn, type Sessile, type SessileErrorCode, type Session } from '@sessile/client';
import { inLocalStorage } from '@sessile/client/local-storage';
import { inMemory } from '@sessile/client/memory';
import { inSessionStorage } from '@sessile/client/session-storage';
import { inWorker } from '@sessile/client/worker';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const check = <T extends true>(_?: T): void => {};

// The equality itself can fail.
// @ts-expect-error
check<Same<string, number>>();
// @ts-expect-error
check<Same<any, number>>();

// Every adapter fits, and nothing else does.
const adapters: Adapter[] = [inLocalStorage(), inSessionStorage(), inMemory(), inWorker(new Worker('/worker.js', { type: 'module' }))];
createSessile();
createSessile({ storage: adapters[0]!, prefix: '/auth', origin: 'https://app.example', paths: ['/api'], hold: { max: 5 }, endingSoon: 30 });
// @ts-expect-error an adapter is a call, not a name
createSessile({ storage: 'local-storage' });
// @ts-expect-error not without a worker
inWorker();
// @ts-expect-error unknown options are mistakes
createSessile({ prefx: '/auth' });
// @ts-expect-error holding is given by its bounds
createSessile({ hold: true });

// It can stand where fetch stands.
declare const sessile: Sessile;
const platform: typeof fetch = sessile.fetch;
check<Same<typeof sessile.fetch, typeof fetch>>();
check<Same<ReturnType<Sessile['session']>, Promise<Session | null>>>();
check<Same<ReturnType<Sessile['refresh']>, Promise<void>>>();
check<Same<Sessile['keptIn'], KeptIn>>();

sessile.signIn({ username: 'ada', password: '…', remember: true, storage: 'memory' });
// @ts-expect-error a password is needed
sessile.signIn({ username: 'ada' });
// @ts-expect-error not one of the seven
sessile.signIn({ username: 'ada', password: '…', storage: 'localStorage' });
sessile.signOut();
sessile.signOut('everywhere');
// @ts-expect-error not a scope
sessile.signOut('all');

// Each event has its own detail.
const off: () => void = sessile.on('signed-out', ({ reason }) => check<Same<typeof reason, 'sign-out' | 'elsewhere' | 'no_session'>>());
sessile.on('signed-in', ({ here, session }) => (check<Same<typeof here, boolean>>(), check<Same<typeof session, Session | undefined>>()));
sessile.on('ending-soon', ({ seconds }) => check<Same<typeof seconds, number>>());
sessile.on('storage-blocked', () => {});
// @ts-expect-error no such event
sessile.on('signed_out', () => {});
// @ts-expect-error not of this event
sessile.on('renewed', ({ reason }) => reason);

// A code narrows to what belongs to it, and every code is accounted for.
function told(error: unknown): string {
  if (!(error instanceof SessileError)) return 'not ours';
  check<Same<typeof error.code, SessileErrorCode>>();
  check<Same<typeof error.name, 'SessileError'>>();
  // @ts-expect-error not before the code is known
  error.retryAfter;
  switch (error.code) {
    case 'too_many_attempts':
    case 'unavailable':
      return `again in ${error.retryAfter ?? 1} s`;
    case 'fresh_authentication_required':
      check<Same<typeof error.maxAge, number | undefined>>();
      return 'sign in again';
    case 'unexpected':
      check<Same<typeof error.status, number>>();
      return `${error.status} ${error.problem ?? ''}`;
    case 'no_session':
    case 'sign_in_failed':
    case 'storage_not_offered':
    case 'csrf_refused':
    case 'sign_out_unconfirmed':
    case 'subject_changed':
    case 'redirected':
    case 'adapter_missing':
    case 'worker_failed':
    case 'closed':
      return error.code;
    default: {
      const none: never = error;
      return none;
    }
  }
}

function incomplete(error: SessileError): string {
  if (error.code === 'unexpected') return '';
  // @ts-expect-error the others are left
  const none: never = error;
  return none;
}

// A token is nowhere to be had.
// @ts-expect-error
sessile.token;
declare const session: Session;
// @ts-expect-error
session.access_token;
// @ts-expect-error what the server says is not for changing
session.subject = 'grace';

export { incomplete, off, platform, told };
