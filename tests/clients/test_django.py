"""Django with CONN_MAX_AGE=0: a connection for each request, closed at its end. Requests go through the real WSGI handler."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from wsgiref.util import setup_testing_defaults

import django
import pytest
from django.conf import settings


@pytest.fixture(scope="session")
def application():
    """Once for this process, as Django has it; site() says where its database is."""
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": 0}},
        ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="tests only", USE_TZ=True,
        DEBUG_PROPAGATE_EXCEPTIONS=False, LOGGING_CONFIG=None, MIDDLEWARE=[])
    django.setup()
    from django.core.wsgi import get_wsgi_application
    from django.db import models

    class Note(models.Model):
        body = models.TextField(unique=True)

        class Meta:
            app_label = "notes"
            db_table = "django_note"

    views.Note = Note
    return get_wsgi_application()


@pytest.fixture(scope="module")
def site(application, target):
    from django.db import connection, connections
    connections.settings["default"].update({"HOST": str(target.host), "PORT": str(target.port), "NAME": target.dbname, "USER": target.user})
    with connection.schema_editor() as editor:
        editor.create_model(views.Note)
    connection.close()

    def request(path, body=b""):
        environment = {"PATH_INFO": path, "REQUEST_METHOD": "POST", "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}
        setup_testing_defaults(environment)
        status = []
        response = application(environment, lambda line, _: status.append(int(line.split()[0])))
        content = b"".join(response)
        response.close()                    # ends the request: Django closes its connection here
        return status[0], content.decode()

    return request


class views:
    """The application: plain functions, see urlpatterns."""

    @staticmethod
    def add(request):
        from django.db import transaction
        from django.http import HttpResponse
        with transaction.atomic():
            note = views.Note.objects.create(body=request.body.decode())
            return HttpResponse(str(views.Note.objects.get(pk=note.pk).body))

    @staticmethod
    def add_twice(request):
        from django.db import IntegrityError, transaction
        from django.http import HttpResponse
        body = request.body.decode()
        with transaction.atomic():
            views.Note.objects.create(body=body)
            try:
                with transaction.atomic():
                    views.Note.objects.create(body=body)
            except IntegrityError:
                return HttpResponse(f"once: {views.Note.objects.filter(body=body).count()}")
        return HttpResponse("twice")

    @staticmethod
    def fail(request):
        from django.db import transaction
        with transaction.atomic():
            views.Note.objects.create(body=request.body.decode())
            views.Note.objects.raw("select 1 / 0 as id")[0]

    @staticmethod
    def stream(request):
        from django.http import HttpResponse
        return HttpResponse(str(sum(1 for _ in views.Note.objects.order_by("pk").iterator(chunk_size=50))))

    @staticmethod
    def settings(request):
        from django.db import connection
        from django.http import HttpResponse
        with connection.cursor() as cursor:
            cursor.execute("select current_setting('TimeZone'), current_setting('statement_timeout'), pg_backend_pid()")
            shown = cursor.fetchone()
            cursor.execute("set statement_timeout = '9s'")
        return HttpResponse(json.dumps(shown))


def _urls():
    from django.urls import path
    return [path(name, lambda request, name=name: getattr(views, name)(request))
            for name in ("add", "add_twice", "fail", "stream", "settings")]


class _Lazy:
    """Django's URLs can be made only once it is configured; it asks this module for them at the first request."""

    def __iter__(self):
        return iter(_urls())


urlpatterns = _Lazy()


def test_many_requests_in_parallel(site, target, max_size):
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda number: site("/add", f"note {number}".encode()), range(300)))
    assert answers == [(200, f"note {number}") for number in range(300)]
    assert target.direct or len(target.backends()) <= max_size


def test_savepoints(site):
    assert site("/add_twice", b"unique") == (200, "once: 1")


def test_a_failing_request_leaves_nothing_behind(site, target):
    assert site("/fail", b"never")[0] == 500
    count = target.postgres.psql("-c", "select count(*) from django_note where body = 'never'", dbname=target.database)
    assert count == "0\n"
    assert site("/add", b"after the failure") == (200, "after the failure")


def test_a_server_side_cursor(site):
    for number in range(120):
        assert site("/add", f"streamed {number}".encode())[0] == 200
    assert int(site("/stream")[1]) >= 120


def test_a_request_starts_with_clean_settings(site):
    for _ in range(20):
        status, shown = site("/settings")
        assert status == 200 and json.loads(shown)[:2] == ["UTC", "0"]
