"""The administrator's pages: stations to adopt and their keys, tariffs, staff, sites and desks."""
