// express with express-session and connect-redis, set up as their own documentation does.
import { randomBytes } from 'node:crypto';
import { RedisStore } from 'connect-redis';
import express from 'express';
import session from 'express-session';
import { createClient } from 'redis';

const client = createClient({ url: process.env.REDIS });
await client.connect();

const app = express();
app.use(
  session({
    store: new RedisStore({ client, prefix: 'express:' }),
    secret: randomBytes(32).toString('hex'),
    resave: false,
    saveUninitialized: false,
  }),
);
app.post('/sign-in', (request, response) => {
  request.session.user = 'ada';
  response.status(204).end();
});
app.get('/data', (request, response) => {
  if (!request.session.user) return response.status(401).end();
  response.json({ user: request.session.user });
});
app.listen(Number(process.env.PORT), '127.0.0.1');
